"""From one type of value to another, as OTTL's converters and Go's `strconv` and `time` do it."""

import json
import math
import re
from base64 import b64encode
from collections.abc import Callable
from decimal import Decimal
from struct import Struct
from typing import Any, Final, TypeVar

from stream.sampling.ottl.calendar import date_of, rfc3339
from stream.sampling.ottl.errors import Failed, WrongType
from stream.sampling.ottl.values import (
    INT64_MAX,
    NAMES,
    Duration,
    Octets,
    SpanId,
    Texts,
    Time,
    TraceId,
    Value,
)

_T = TypeVar("_T")

_INTEGER: Final = re.compile(rb"[+-]?[0-9]+")
_DECIMAL: Final = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_HEXADECIMAL: Final = re.compile(
    rb"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+"
)
_NAMED: Final = re.compile(rb"[+-]?(inf|infinity)|nan", re.IGNORECASE)
_TRUE: Final = frozenset({b"1", b"t", b"T", b"TRUE", b"true", b"True"})
_FALSE: Final = frozenset({b"0", b"f", b"F", b"FALSE", b"false", b"False"})
_INT64: Final = Struct(">q").pack
_DOUBLE: Final = Struct(">d").pack
_INT_DIGITS_MAX: Final = 19
_RFC3339_YEARS: Final = range(10_000)
_PLAIN_MIN, _PLAIN_MAX = 1e-6, 1e21
_TERM: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_UNITS_NS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_JSON_ESCAPES: Final = str.maketrans(
    {letter: f"\\u{ord(letter):04x}" for letter in (*map(chr, range(0x20)), *"<>&\u2028\u2029")}
    | {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
)
_UNDERSCORE: Final = re.compile(rb"(?<=[0-9a-fA-FxX])_(?=[0-9a-fA-F])")


def only(kind: type[_T]) -> Callable[[Value], _T]:
    """Return what passes values of this type and raises WrongType for any other."""

    def passed(value: Value) -> _T:
        if type(value) is kind:
            return value
        raise WrongType(f"expected {NAMES[kind]}, got {NAMES[type(value)]}")

    return passed


def anything(value: Value) -> Value:
    """Pass every value."""
    return value


def a_list(value: Value) -> list[Any]:
    """Pass lists, also of texts."""
    if type(value) is Texts:
        return value
    return only(list)(value)


def text_like(value: Value) -> bytes | None:
    """Return the value as a text, nil for nil. What is neither is JSON; byte slices are hex."""
    if type(value) is bytes or value is None:
        return value
    if type(value) is Octets:
        return value.hex().encode()
    return json_text(value).encode()


def int_like(value: Value) -> int | None:
    """Return the value as an int: cut towards 0, nil for nil and for a text that is no int."""
    if type(value) is int or value is None:
        return value
    if type(value) is bytes:
        return parsed_int(value)
    if type(value) is float:
        whole = math.trunc(value) if math.isfinite(value) else INT64_MAX + 1
        return whole if abs(whole) <= INT64_MAX else -INT64_MAX - 1
    if type(value) is bool:
        return int(value)
    raise WrongType(f"{NAMES[type(value)]} is no int")


def double_like(value: Value) -> float | None:
    """Return the value as a double, nil for nil. A text that is no number raises Failed."""
    if type(value) is float or value is None:
        return value
    if type(value) is bytes:
        return parsed_double(value)
    if type(value) in (int, bool):
        return float(value)  # type: ignore[arg-type]  # seen above
    raise WrongType(f"{NAMES[type(value)]} is no double")


def boolean_like(value: Value) -> bool | None:
    """Return the value as a boolean, nil for nil. Numbers are true unless 0."""
    if type(value) is bool or value is None:
        return value
    if type(value) is bytes:
        if value in _TRUE or value in _FALSE:
            return value in _TRUE
        raise Failed(f"no boolean: {value[:40]!r}")
    if type(value) in (int, float):
        return value != 0
    raise WrongType(f"{NAMES[type(value)]} is no boolean")


def octets_like(value: Value) -> bytes:
    """Return the value as bytes, none for nil. Numbers are 8 bytes, big-endian."""
    if value is None:
        return b""
    if type(value) in (bytes, Octets):
        return bytes(value)  # type: ignore[arg-type]  # seen above
    if type(value) is int:
        return _INT64(value)
    if type(value) is float:
        return _DOUBLE(value)
    if type(value) is bool:
        return bytes((value,))
    raise WrongType(f"{NAMES[type(value)]} is no byte slice")


def parsed_int(text: bytes) -> int | None:
    """Return a decimal number of 64 bits, None if it is none."""
    if not _INTEGER.fullmatch(text):
        return None
    digits = text.lstrip(b"+-").lstrip(b"0")
    if len(digits) > _INT_DIGITS_MAX:
        return None
    number = int(digits or b"0") * (-1 if text.startswith(b"-") else 1)
    return number if -INT64_MAX - 1 <= number <= INT64_MAX else None


def parsed_double(text: bytes) -> float:
    """Return a number as Go's `strconv.ParseFloat` reads it. Raises Failed."""
    if _NAMED.fullmatch(text):
        return float(text)
    text = _UNDERSCORE.sub(b"", text)
    try:
        if _DECIMAL.fullmatch(text):
            double = float(text)
        elif _HEXADECIMAL.fullmatch(text):
            double = float.fromhex(text.decode())
        else:
            raise Failed(f"no number: {text[:40]!r}")
    except OverflowError:
        double = math.inf
    if math.isinf(double):
        raise Failed(f"beyond a double: {text[:40]!r}")
    return double


def parsed_duration(text: bytes) -> Duration:
    """Return e.g. `1h30m`, `-1.5ms` (Go's `time.ParseDuration`). Raises Failed."""
    written = text.decode(errors="replace")
    unsigned = written[1:] if written[:1] in ("+", "-") else written
    if unsigned == "0":
        return Duration(0)
    ns = position = 0
    while term := _TERM.match(unsigned, position):
        whole, fraction, unit = term.groups(default="")
        if not (whole or fraction) or len(whole.lstrip("0")) > _INT_DIGITS_MAX:
            break
        unit_ns = _UNITS_NS[unit]
        ns += int(whole.lstrip("0") or 0) * unit_ns
        if fraction:
            digits = fraction[: _INT_DIGITS_MAX - 1]
            ns += int(float(int(digits)) * (float(unit_ns) / 10.0 ** len(digits)))
        position = term.end()
        if ns > INT64_MAX:
            break
    if not position or position != len(unsigned) or ns > INT64_MAX:
        raise Failed(f"no duration: {written[:40]!r}")
    return Duration(-ns if written[0] == "-" else ns)


def json_text(value: Value) -> str:  # noqa: PLR0911 - one a type
    """Return the value as JSON, as Go's encoder writes it: keys in order, `<`, `>`, `&` escaped."""
    match value:
        case Octets():
            return f'"{b64encode(value).decode()}"'
        case TraceId() | SpanId():
            return f"[{','.join(map(str, value))}]"
        case bytes():
            return f'"{value.decode(errors="replace").translate(_JSON_ESCAPES)}"'
        case None | bool() | int():
            return json.dumps(value)
        case float():
            return _json_double(value)
        case list():
            return f"[{','.join(map(json_text, value))}]"
        case dict():
            pairs = (f"{json_text(key)}:{json_text(value[key])}" for key in sorted(value))
            return f"{{{','.join(pairs)}}}"
        case Time():
            return _json_time(value)
        case Duration():
            return str(value.ns)
        case _:
            return "{}"


def _json_time(time: Time) -> str:
    if date_of(time.ns)[0] not in _RFC3339_YEARS:
        raise WrongType("a time of that year is no JSON")
    return f'"{rfc3339(time.ns)}"'


def _json_double(double: float) -> str:
    if not math.isfinite(double):
        raise WrongType(f"{double} is no JSON")
    digits = repr(double)
    if double and not _PLAIN_MIN <= abs(double) < _PLAIN_MAX:
        mantissa, _, exponent = digits.partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent):+03d}"
    if "e" in digits:
        digits = format(Decimal(digits), "f")
    return digits.removesuffix(".0")
