"""Durations and sizes as text: `1m30s`, `512MiB`."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Final

_SECOND_NS: Final = 1_000_000_000
_UNITS_NS: Final = {
    "h": 3600 * _SECOND_NS,
    "m": 60 * _SECOND_NS,
    "s": _SECOND_NS,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ns": 1,
}
_DURATION_PART: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION_NS_MAX: Final = 2**63 - 1
_UNITS_BYTES: Final = {
    "TiB": 1 << 40,
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "KB": 10**3,
    "B": 1,
}
_SIZE: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)")


def parse_duration(text: str) -> float:
    """Return the seconds of a duration in Go's syntax (`time.ParseDuration`), exact to 1 ns.

    Raises:
        ValueError: not a duration; the text says why.
    """
    sign, unsigned = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if unsigned == "0":
        return 0.0
    parts = _DURATION_PART.findall(unsigned)
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        raise ValueError(_why_not_duration(unsigned))
    nanoseconds = int(sum(Fraction(number) * _UNITS_NS[unit] for number, unit in parts))
    if nanoseconds > _DURATION_NS_MAX:
        raise ValueError("is longer than 292 years")
    return sign * nanoseconds / _SECOND_NS


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads as these seconds, to 1 ns."""
    left = round(Fraction(seconds) * _SECOND_NS)
    if left == 0:
        return "0s"
    text = "-" if left < 0 else ""
    left = abs(left)
    for unit in ("h", "m"):
        count, left = divmod(left, _UNITS_NS[unit])
        text += f"{count}{unit}" if count else ""
    if left == 0:
        return text
    unit = next(unit for unit in ("s", "ms", "us", "ns") if left >= _UNITS_NS[unit])
    return f"{text}{(Decimal(left) / _UNITS_NS[unit]).normalize():f}{unit}"


def parse_size(text: str) -> int:
    """Return the bytes of a size: `1000000`, `512MiB`, `1.5GiB`, `10MB`.

    Raises:
        ValueError: not a size; the text says why.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("is not a size")
    number, unit = match.groups()
    if unit and unit not in _UNITS_BYTES:
        raise ValueError(f"has a unit that is not one of {', '.join(_UNITS_BYTES)}")
    size = Fraction(number) * _UNITS_BYTES[unit or "B"]
    if size.denominator != 1:
        raise ValueError("is not a whole number of bytes")
    return size.numerator


def format_size(size_bytes: int) -> str:
    """Return the shortest exact text that `parse_size` reads as these bytes."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % _UNITS_BYTES[unit] == 0:
            return f"{size_bytes // _UNITS_BYTES[unit]}{unit}"
    return str(size_bytes)


def _why_not_duration(text: str) -> str:
    if re.fullmatch(r"[0-9.]+", text):
        return "has no unit"
    return "is not a duration"
