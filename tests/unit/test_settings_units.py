"""Durations and sizes: what Go reads, exactly, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.settings.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("30s", 30.0),
        ("1m30s", 90.0),
        ("500ms", 0.5),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        ("1h2m3.5s", 3723.5),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("100us", 0.0001),
        ("100µs", 0.0001),
        ("100\u03bcs", 0.0001),
        ("7ns", 7e-9),
        ("0", 0.0),
        ("-5s", -5.0),
        ("+5s", 5.0),
        ("1s1m", 61.0),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, expected_s: float) -> None:
    assert parse_duration(text) == expected_s


@pytest.mark.parametrize("text", ["", "s", "5", "5 s", "5sec", "5S", "1d", "1,5s", "5s ", "--5s"])
def test_what_go_refuses_as_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|has no unit"):
        parse_duration(text)


def test_a_duration_longer_than_gos_longest_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 292 years"):
        parse_duration("2562048h")
    assert parse_duration("2562047h") == 2562047 * 3600.0


@given(st.integers(min_value=0, max_value=10**15))
def test_a_duration_below_eleven_days_survives_being_written_and_read(nanoseconds: int) -> None:
    seconds = nanoseconds / 10**9
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0s"),
        (0.5, "500ms"),
        (1.5, "1.5s"),
        (30, "30s"),
        (90, "1m30s"),
        (600, "10m"),
        (3600, "1h"),
        (1e-6, "1us"),
        (0.0015, "1.5ms"),
        (-5, "-5s"),
    ],
)
def test_a_duration_is_written_as_people_write_it(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(
    ("text", "expected_bytes"),
    [
        ("1000000", 1_000_000),
        ("512MiB", 512 << 20),
        ("20GiB", 20 << 30),
        ("64KiB", 65536),
        ("1.5GiB", 3 << 29),
        ("10MB", 10_000_000),
        ("10kB", 10_000),
        ("10 KB", 10_000),
        ("7B", 7),
        ("2TiB", 2 << 40),
    ],
)
def test_a_size_takes_binary_and_decimal_units(text: str, expected_bytes: int) -> None:
    assert parse_size(text) == expected_bytes


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5", "1.5B", "5Mb", "5M", "5 Mi", "0x10"])
def test_what_is_no_whole_number_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a|has a unit"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=1 << 59))
def test_a_size_survives_being_written_and_read(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [(0, "0"), (1_000_000, "1000000"), (1024, "1KiB"), (1536, "1536"), (20 << 30, "20GiB")],
)
def test_a_size_is_written_in_the_largest_unit_that_is_exact(
    size_bytes: int, expected: str
) -> None:
    assert format_size(size_bytes) == expected
