"""The converters: what they take, and what they return. Contrib, pkg/ottl/ottlfuncs (v0.158).

`FUNCTIONS` holds those that are honoured. What a verdict may not hang on (the clock, chance), and
what only transforms telemetry, is named in `REFUSED` with the reason.
"""

import hashlib
import ipaddress
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NoReturn

from stream.sampling.ottl.calendar import clock_of, date_of, weekday_of
from stream.sampling.ottl.convert import (
    a_list,
    anything,
    boolean_like,
    double_like,
    int_like,
    octets_like,
    only,
    parsed_duration,
    text_like,
)
from stream.sampling.ottl.errors import Failed
from stream.sampling.ottl.texts import (
    concatenated,
    cut_out,
    index_of,
    lower,
    matches,
    parsed_in_base,
    parsed_json,
    regex_of,
    split,
    to_case,
    trimmed,
    upper,
)
from stream.sampling.ottl.values import (
    Duration,
    Part,
    SpanId,
    Texts,
    Time,
    TraceId,
    Value,
    equal_to,
    int64,
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a function takes: `convert` passes or converts a value, or raises WrongType.

    `many` is a list of such values. `literal` is the type that must stand in the condition itself.
    """

    name: str
    convert: Callable[[Value], Any] = anything
    many: bool = False
    literal: type | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function of its parameters' values; an optional one that is not given is left out.

    `truth` says whether it can stand as a condition. `prepare` makes a faster `call` of the values
    that are known from the start (None for the others), and raises Failed where one cannot do.
    """

    parameters: tuple[Parameter, ...]
    call: Callable[..., Value]
    truth: bool = False
    prepare: Callable[..., Callable[..., Value]] | None = None


_TEXT: Final = Parameter("target", only(bytes))
_ANY: Final = Parameter("target")
_NS_PER_S: Final = 10**9
_MAPPED_BITS: Final = 96  # of IPv6 before an IPv4 address


def _of(
    call: Callable[..., Value],
    *parameters: Parameter,
    truth: bool = False,
    prepare: Callable[..., Callable[..., Value]] | None = None,
) -> Function:
    return Function(parameters, call, truth, prepare)


def _is(*kinds: type) -> Function:
    return _of(lambda value: type(value) in kinds, _ANY, truth=True)


def _is_list(value: Value) -> bool:
    return type(value) in (list, Texts) or (type(value) is Part and value.name != "status")


def _is_empty(value: Value) -> bool:
    match value:
        case TraceId() | SpanId():
            return not any(value)
        case Duration():
            return value.ns == 0
        case Time() | Part():
            return False
        case _:
            return not value


def _length(value: Value) -> int:
    match value:
        case TraceId() | SpanId():
            pass
        case bytes() | list() | dict():
            return len(value)
        case Part() if value.name != "status":
            return value.count
    raise Failed("only texts, byte slices, lists and maps have a length")


def _contains(values: list[Value], wanted: Value) -> bool:
    return any(equal_to(value, wanted) for value in values)


def _coalesce(_: list[Value]) -> NoReturn:
    raise AssertionError("it asks one after the other: `expressions` does it")


def _in_networks(text: bytes, networks: list[bytes]) -> bool:
    return _within(text, [_network(network) for network in networks])


def _known_networks(_: None, networks: list[bytes] | None) -> Callable[..., Value]:
    if networks is None:
        return _in_networks
    known = [_network(network) for network in networks]
    return lambda text, _: _within(text, known)


def _network(text: bytes) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        address, _, bits = text.decode("ascii").partition("/")
        mapped = getattr(ipaddress.ip_address(address), "ipv4_mapped", None)
        if mapped and int(bits) >= _MAPPED_BITS:
            return ipaddress.ip_network((mapped, int(bits) - _MAPPED_BITS), strict=False)
        if bits.isdecimal():
            return ipaddress.ip_network((address, int(bits)), strict=False)
    except ValueError:
        pass
    raise Failed(f"no network as in 10.0.0.0/8: {text[:40]!r}")


def _within(text: bytes, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        address = _plain(ipaddress.ip_address(text.decode("ascii")))
    except ValueError:
        return False
    if getattr(address, "scope_id", None):
        return False  # an address with a zone is none to Go
    return any(address in network for network in networks)


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an IPv4 address in IPv6's clothes as what it is."""
    return getattr(address, "ipv4_mapped", None) or address


def _known_regex(_: None, pattern: bytes | None) -> Callable[..., Value]:
    if pattern is None:
        return matches
    regex = regex_of(pattern)
    return lambda text, _: text is not None and regex(text)


def _known_case(_: None, case: bytes) -> Callable[..., Value]:
    to_case(b"", case)
    return to_case


def _id_of(kind: type[TraceId] | type[SpanId], size: int) -> Callable[[bytes], Value]:
    def made(octets: bytes) -> Value:
        if len(octets) == size:
            return kind(octets)
        try:
            if len(octets) == 2 * size:
                return kind(bytes.fromhex(octets.decode("ascii")))
        except ValueError:
            pass
        raise Failed(f"an id of {size} bytes or {2 * size} hex digits is needed")

    return made


def _logarithm(number: float | None) -> float:
    if number is None or number <= 0 or math.isnan(number):
        if number is not None and math.isnan(number):
            return number
        raise Failed("a logarithm needs a number above 0")
    return math.log(number)


def _fnv(text: bytes) -> int:
    state = 0xCBF29CE484222325
    for octet in text:
        state = (state ^ octet) * 0x100000001B3 & (1 << 64) - 1
    return int64(state)


def _digest(name: str) -> Function:
    return _of(
        lambda text: hashlib.new(name, text, usedforsecurity=False).hexdigest().encode(), _TEXT
    )


def _in_unit(unit_ns: int) -> Function:
    """Go's `Duration.Hours`, `.Minutes`, `.Seconds`: whole and rest, added as doubles."""

    def counted(duration: Duration) -> float:
        whole, rest = divmod(abs(duration.ns), unit_ns)
        total = float(whole) + rest / unit_ns
        return total if duration.ns >= 0 else -total

    return _of(counted, Parameter("duration", only(Duration)))


def _in_whole(unit_ns: int) -> Function:
    def counted(duration: Duration) -> int:
        whole = abs(duration.ns) // unit_ns
        return whole if duration.ns >= 0 else -whole

    return _of(counted, Parameter("duration", only(Duration)))


def _of_time(read: Callable[[int], int]) -> Function:
    return _of(lambda time: int64(read(time.ns)), Parameter("time", only(Time)))


FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {
        "Bool": _of(boolean_like, _ANY, truth=True),
        "Coalesce": _of(_coalesce, Parameter("values", many=True), truth=True),
        "Concat": _of(
            concatenated,
            Parameter("vals", text_like, many=True),
            Parameter("delimiter", only(bytes)),
        ),
        "ContainsValue": _of(_contains, Parameter("target", a_list), Parameter("item"), truth=True),
        "ConvertCase": _of(
            to_case, _TEXT, Parameter("to_case", literal=bytes), prepare=_known_case
        ),
        "Day": _of_time(lambda ns: date_of(ns)[2]),
        "Double": _of(double_like, _ANY),
        "Duration": _of(parsed_duration, Parameter("duration", only(bytes))),
        "FNV": _of(_fnv, _TEXT),
        "HasPrefix": _of(bytes.startswith, _TEXT, Parameter("prefix", only(bytes)), truth=True),
        "HasSuffix": _of(bytes.endswith, _TEXT, Parameter("suffix", only(bytes)), truth=True),
        "Hex": _of(lambda octets: octets.hex().encode(), Parameter("target", octets_like)),
        "Hour": _of_time(lambda ns: clock_of(ns)[0]),
        "Hours": _in_unit(3600 * _NS_PER_S),
        "Index": _of(index_of, _ANY, Parameter("value")),
        "Int": _of(int_like, _ANY),
        "IsBool": _is(bool),
        "IsDouble": _is(float),
        "IsEmpty": _of(_is_empty, _ANY, truth=True),
        "IsInCIDR": _of(
            _in_networks,
            _TEXT,
            Parameter("networks", only(bytes), many=True),
            truth=True,
            prepare=_known_networks,
        ),
        "IsInt": _is(int),
        "IsList": _of(_is_list, _ANY, truth=True),
        "IsMap": _is(dict),
        "IsMatch": _of(
            matches,
            Parameter("target", text_like),
            Parameter("pattern", only(bytes)),
            truth=True,
            prepare=_known_regex,
        ),
        "IsString": _is(bytes),
        "Keys": _of(list, Parameter("target", only(dict))),
        "Len": _of(_length, _ANY),
        "Log": _of(_logarithm, Parameter("target", double_like)),
        "MD5": _digest("md5"),
        "Microseconds": _in_whole(10**3),
        "Milliseconds": _in_whole(10**6),
        "Minute": _of_time(lambda ns: clock_of(ns)[1]),
        "Minutes": _in_unit(60 * _NS_PER_S),
        "Month": _of_time(lambda ns: date_of(ns)[1]),
        "Nanosecond": _of_time(lambda ns: clock_of(ns)[3]),
        "Nanoseconds": _in_whole(1),
        "ParseInt": _of(parsed_in_base, _TEXT, Parameter("base", only(int))),
        "ParseJSON": _of(parsed_json, _TEXT),
        "SHA1": _digest("sha1"),
        "SHA256": _digest("sha256"),
        "SHA512": _digest("sha512"),
        "Second": _of_time(lambda ns: clock_of(ns)[2]),
        "Seconds": _in_unit(_NS_PER_S),
        "SpanID": _of(_id_of(SpanId, 8), Parameter("target", octets_like)),
        "Split": _of(split, _TEXT, Parameter("delimiter", only(bytes))),
        "String": _of(text_like, _ANY),
        "Substring": _of(
            cut_out,
            _TEXT,
            Parameter("start", only(int)),
            Parameter("length", only(int)),
            Parameter("utf8_safe", literal=bool, optional=True),
        ),
        "ToLowerCase": _of(lower, _TEXT),
        "ToUpperCase": _of(upper, _TEXT),
        "TraceID": _of(_id_of(TraceId, 16), Parameter("target", octets_like)),
        "Trim": _of(trimmed, _TEXT, Parameter("replacement", literal=bytes, optional=True)),
        "TrimPrefix": _of(bytes.removeprefix, _TEXT, Parameter("prefix", only(bytes))),
        "TrimSuffix": _of(bytes.removesuffix, _TEXT, Parameter("suffix", only(bytes))),
        "Unix": _of(
            lambda seconds, nanoseconds=0: Time(seconds * _NS_PER_S + nanoseconds),
            Parameter("seconds", only(int)),
            Parameter("nanoseconds", only(int), optional=True),
        ),
        "UnixMicro": _of_time(lambda ns: ns // 10**3),
        "UnixMilli": _of_time(lambda ns: ns // 10**6),
        "UnixNano": _of_time(lambda ns: ns),
        "UnixSeconds": _of_time(lambda ns: ns // _NS_PER_S),
        "Values": _of(lambda entries: list(entries.values()), Parameter("target", only(dict))),
        "Weekday": _of_time(weekday_of),
        "Year": _of_time(lambda ns: date_of(ns)[0]),
    }
)
"""The functions of every kind of condition; `IsRootSpan` of those on spans is `compile`'s."""

_CLOCK: Final = "a verdict is a function of the records, not of the clock"
_CHANCE: Final = "a verdict is a function of the records, not of chance"
_NOT_HERE: Final = "not supported here"
_LAMBDA: Final = "functions as arguments are behind a gate that is shut in the Collector"
REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Now": _CLOCK,
        "UUID": _CHANCE,
        "UUIDv7": _CHANCE,
        **dict.fromkeys(("All", "Any", "Filter", "Find", "MapEach", "MapKeys", "Reduce"), _LAMBDA),
        **dict.fromkeys(
            [
                "Base64Decode",
                "Base64Encode",
                "CommunityID",
                "ConvertAttributesToElementsXML",
                "ConvertTextToElementsXML",
                "Decode",
                "DeleteIndex",
                "ExtractGrokPatterns",
                "ExtractPatterns",
                "Format",
                "FormatTime",
                "GetXML",
                "InsertXML",
                "IsValidLuhn",
                "Murmur3Hash",
                "Murmur3Hash128",
                "ParseCSV",
                "ParseKeyValue",
                "ParseSeverity",
                "ParseSimplifiedXML",
                "ParseXML",
                "ProfileID",
                "RemoveXML",
                "SliceToMap",
                "Sort",
                "Time",
                "ToCamelCase",
                "ToKeyValueString",
                "ToSnakeCase",
                "TruncateTime",
                "URL",
                "UserAgent",
                "When",
                "XXH128",
                "XXH3",
            ],
            _NOT_HERE,
        ),
        **dict.fromkeys(
            ("HasAttrOnDatapoint", "HasAttrKeyOnDatapoint"), "it is about metrics, not spans"
        ),
    }
)
"""Functions of the Collector that cannot be honoured, and why."""
