"""Instants on the proleptic Gregorian calendar in UTC, as Go's `time` has them."""

from typing import Final

NS_PER_S: Final = 1_000_000_000
S_PER_DAY: Final = 86_400
_DAYS_TO_YEAR_0: Final = 719_468  # from 0000-03-01 to 1970-01-01
_DAYS_PER_ERA: Final = 146_097  # 400 years
_MONTHS_AFTER_FEBRUARY: Final = 10
_THURSDAY: Final = 4  # 1970-01-01, where Sunday is 0


def date_of(ns: int) -> tuple[int, int, int]:
    """Return (year, month, day) of Unix nanoseconds.

    Method: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    """
    days = ns // NS_PER_S // S_PER_DAY + _DAYS_TO_YEAR_0
    era, day_of_era = divmod(days, _DAYS_PER_ERA)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    january_or_later = shifted_month >= _MONTHS_AFTER_FEBRUARY
    month = shifted_month - 9 if january_or_later else shifted_month + 3
    return year + era * 400 + january_or_later, month, day


def clock_of(ns: int) -> tuple[int, int, int, int]:
    """Return (hour, minute, second, nanosecond) of Unix nanoseconds."""
    seconds, nanosecond = divmod(ns, NS_PER_S)
    minutes, second = divmod(seconds % S_PER_DAY, 60)
    return minutes // 60, minutes % 60, second, nanosecond


def weekday_of(ns: int) -> int:
    """Return the day of the week, 0 for Sunday."""
    return (ns // NS_PER_S // S_PER_DAY + _THURSDAY) % 7


def rfc3339(ns: int) -> str:
    """Return e.g. `2023-11-14T22:13:20.5Z`: the fraction without zeros at its end."""
    year, month, day = date_of(ns)
    hour, minute, second, nanosecond = clock_of(ns)
    fraction = f".{nanosecond:09d}".rstrip("0") if nanosecond else ""
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}{fraction}Z"
