"""What the converters do with texts: their bytes, as Go's `strings` and `strconv` treat them."""

import json
import math
import re
from functools import lru_cache
from typing import Any, Final, NoReturn

from stream.sampling.ottl.convert import a_list
from stream.sampling.ottl.errors import Failed
from stream.sampling.ottl.message import VALUE_DEPTH_MAX
from stream.sampling.ottl.values import INT64_MAX, Texts, Value, equal_to
from stream.sampling.regex import AnyRegex, BadRegex

CASES: Final = ("lower", "upper")
_OCTAL: Final = re.compile(rb"[+-]?0_?[0-7_]+")
_CONTINUATION: Final = range(0x80, 0xC0)
_BASE_MAX: Final = 36
_DIGITS_MAX: Final = 70
_REGEXES_MAX: Final = 256


def matches(text: bytes | None, pattern: bytes) -> bool:
    """Return whether the expression matches anywhere in the text; never in nil. Raises Failed."""
    regex = regex_of(pattern)
    return text is not None and regex(text)


@lru_cache(_REGEXES_MAX)
def regex_of(pattern: bytes) -> AnyRegex:
    """Return the compiled RE2 expression. Raises Failed."""
    try:
        return AnyRegex([pattern.decode()])
    except (BadRegex, UnicodeDecodeError) as bad:
        raise Failed(f"no RE2 expression: {bad}") from None


def concatenated(texts: list[bytes | None], delimiter: bytes) -> bytes:
    """Return the texts joined; nil reads `<nil>`."""
    return delimiter.join(b"<nil>" if text is None else text for text in texts)


def cut_out(text: bytes, start: int, length: int, utf8_safe: bool = False) -> bytes:  # noqa: FBT001, FBT002 - OTTL's own signature
    """Return `length` bytes from `start`; `utf8_safe` moves the ends off the middle of letters."""
    if start < 0 or length <= 0 or start + length > len(text):
        raise Failed(f"no {length} bytes from {start} in a text of {len(text)}")
    end = start + length
    if utf8_safe:
        while start < len(text) and text[start] in _CONTINUATION:
            start += 1
        while start < end < len(text) and text[end] in _CONTINUATION:
            end -= 1
    return text[start : max(start, end)]


def split(text: bytes, delimiter: bytes) -> Texts:
    """Return the parts between delimiters; an empty delimiter parts every letter."""
    if delimiter:
        return Texts(text.split(delimiter))
    return Texts(
        letter.encode("utf-8", "surrogateescape")
        for letter in text.decode("utf-8", "surrogateescape")
    )


def index_of(target: Value, wanted: Value) -> int:
    """Return where a text or an element begins, -1 if nowhere."""
    if type(target) is bytes:
        if type(wanted) is not bytes:
            raise Failed("only a text can lie in a text")
        return target.find(wanted)
    for index, value in enumerate(a_list(target)):
        if equal_to(value, wanted):
            return index
    return -1


def lower(text: bytes) -> bytes:
    """Return the text in lower case, letter by letter."""
    letters = text.decode(errors="replace")
    return "".join("i" if letter == "İ" else letter.lower() for letter in letters).encode()


def upper(text: bytes) -> bytes:
    """Return the text in upper case, letter by letter: one that would become two stays."""
    letters = text.decode(errors="replace")
    capitals = ((letter, letter.upper()) for letter in letters)
    return "".join(high if len(high) == 1 else low for low, high in capitals).encode()


def to_case(text: bytes, case: bytes) -> bytes:
    """Return the text in the case of this name, one of `CASES`."""
    if case == b"lower":
        return lower(text)
    if case == b"upper":
        return upper(text)
    raise Failed(f"no such case here; supported are {', '.join(CASES)}")


def trimmed(text: bytes, letters: bytes = b" ") -> bytes:
    """Return the text without any of these letters at its ends."""
    whole = text.decode("utf-8", "surrogateescape").strip(
        letters.decode("utf-8", "surrogateescape")
    )
    return whole.encode("utf-8", "surrogateescape")


def parsed_in_base(text: bytes, base: int) -> int:
    """Return the number in this base, 2 to 36; 0 takes it from the prefix. Raises Failed."""
    try:
        if not 0 <= base <= _BASE_MAX or len(text) > _DIGITS_MAX or (base and b"_" in text):
            raise ValueError  # noqa: TRY301 - one way out for all of them
        if base and text[-1:] and text.lstrip(b"+-")[:2].lower() in (b"0x", b"0o", b"0b"):
            _check_no_prefix(text, base)
        is_octal = not base and _OCTAL.fullmatch(text)
        number = int(text.decode("ascii"), 8 if is_octal else base)
    except ValueError:
        raise Failed(f"no number in base {base}: {text[:40]!r}") from None
    if not -INT64_MAX - 1 <= number <= INT64_MAX or text != text.strip():
        raise Failed(f"no number of 64 bits: {text[:40]!r}")
    return number


def _check_no_prefix(text: bytes, base: int) -> None:
    """Refuse what Python takes and Go does not: a prefix beside a base."""
    prefix = text.lstrip(b"+-")[1:2].lower()
    if int(prefix, 36) >= base:
        raise ValueError


def parsed_json(text: bytes) -> Value:
    """Return the map or list of a JSON text; numbers are doubles. Raises Failed."""
    try:
        parsed = json.loads(text, parse_int=float, parse_constant=_no_constant)
        if isinstance(parsed, dict | list):
            return _as_value(parsed)
    except (ValueError, RecursionError):
        pass
    raise Failed(f"no JSON map or list: {text[:40]!r}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _as_value(parsed: Any, depth: int = 0) -> Value:
    if depth > VALUE_DEPTH_MAX:
        raise ValueError(depth)
    match parsed:
        case str():
            return parsed.encode("utf-8", "replace")
        case float() if math.isinf(parsed):
            raise ValueError(parsed)
        case list():
            return [_as_value(value, depth + 1) for value in parsed]
        case dict():
            pairs = parsed.items()
            return {key.encode("utf-8", "replace"): _as_value(v, depth + 1) for key, v in pairs}
        case _:
            return parsed  # type: ignore[no-any-return]  # a boolean, a double or None
