"""Partitioners against vectors of the clients they imitate."""

import random
from collections.abc import Callable

import pytest

from stream.kafka.partitioner import (
    KNOWN,
    PARTITIONERS,
    crc32,
    fitting,
    fnv1a,
    murmur2,
    murmur2_hash,
)

HEX = b"4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("key", "count", "expected"),
    [
        (HEX, 6, (0, 2, 0)),
        (HEX, 12, (6, 2, 0)),
        (HEX, 50, (10, 38, 32)),
        (b"0af7651916cd43dd8448eb211c80319c", 6, (1, 1, 4)),
        (b"0af7651916cd43dd8448eb211c80319c", 12, (7, 7, 10)),
        (b"0af7651916cd43dd8448eb211c80319c", 50, (49, 29, 36)),
        (b"00000000000000000123456789abcdef", 6, (3, 4, 1)),
        (b"00000000000000000123456789abcdef", 12, (9, 10, 7)),
        (b"00000000000000000123456789abcdef", 50, (27, 8, 29)),
        (b"0123456789abcdef", 6, (1, 0, 3)),
        (b"0123456789abcdef", 12, (7, 0, 3)),
        (b"0123456789abcdef", 50, (1, 2, 11)),
        (bytes.fromhex(HEX.decode()), 6, (5, 5, 3)),
        (bytes.fromhex(HEX.decode()), 12, (5, 11, 9)),
        (bytes.fromhex(HEX.decode()), 50, (3, 41, 19)),
    ],
)
def test_a_key_goes_where_each_client_sends_it(
    key: bytes, count: int, expected: tuple[int, int, int]
) -> None:
    assert (fnv1a(key, count), murmur2(key, count), crc32(key, count)) == expected


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_equals_the_hashes_that_the_java_client_is_tested_with(
    key: bytes, signed: int
) -> None:
    assert murmur2_hash(key) == signed % 2**32


def test_fnv1a_equals_the_hash_that_librdkafka_is_tested_with() -> None:
    # Its test of "kafka" expects the absolute value 0x0d33c4e1; a count above it shows it whole.
    assert fnv1a(b"kafka", 2**31) == 0x0D33C4E1


@pytest.mark.parametrize("partition", KNOWN.values(), ids=KNOWN)
def test_every_partition_of_a_topic_is_reached_and_no_other(
    partition: Callable[[bytes, int], int],
) -> None:
    dice = random.Random(7)
    keys = [dice.randbytes(16).hex().encode() for _ in range(500)] + [b"", b"x"]
    for count in (1, 2, 7, 8):
        assert {partition(key, count) for key in keys} == set(range(count))


@pytest.mark.parametrize("name", KNOWN)
def test_the_partitioner_that_placed_the_keys_is_recognised(name: str) -> None:
    dice = random.Random(name)
    keys = [dice.randbytes(16).hex().encode() for _ in range(50)]
    assert fitting([(key, KNOWN[name](key, 12)) for key in keys], 12) == name


def test_one_key_in_another_place_and_no_partitioner_fits() -> None:
    placed = [(HEX, fnv1a(HEX, 8)), (b"key", (fnv1a(b"key", 8) + 1) % 8)]
    assert fitting(placed[:1], 8) == "fnv1a"
    assert fitting(placed, 8) is None


def test_a_grown_topic_fits_no_partitioner_until_its_old_keys_are_gone() -> None:
    dice = random.Random(1)
    keys = [dice.randbytes(16).hex().encode() for _ in range(50)]
    assert fitting([(key, fnv1a(key, 8)) for key in keys], 12) is None


def test_no_samples_name_no_partitioner() -> None:
    assert fitting([], 8) is None


def test_the_settings_offer_the_two_that_writers_of_spans_can_be_told_to_use() -> None:
    assert list(PARTITIONERS) == ["fnv1a", "murmur2"]
