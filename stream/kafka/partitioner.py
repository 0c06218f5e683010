"""Which partition a key belongs to: the hashes of the clients that write spans to Kafka.

A trace meets its control records only where everybody hashes alike. Kafka has no standard for it:
the Collector and Sarama use FNV-1a, Java clients murmur2, librdkafka by default CRC-32.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

Partitioner = Callable[[bytes, int], int]
"""(key, partition count) -> partition number."""

FNV32_OFFSET = 0x811C9DC5
FNV32_PRIME = 0x01000193
MURMUR2_SEED = 0x9747B28C
MURMUR2_PRIME = 0x5BD1E995
UINT32_MAX = 2**32 - 1
INT32_MAX = 2**31 - 1


def fnv1a(key: bytes, count: int) -> int:
    """Return the partition that Sarama and the Collector's `sarama_compat` choose.

    FNV-1a of 32 bits, read as a signed number; the absolute value of Go's remainder, which is the
    remainder of the absolute value.
    """
    state = FNV32_OFFSET
    for octet in key:
        state = (state ^ octet) * FNV32_PRIME & UINT32_MAX
    magnitude = state if state <= INT32_MAX else 2**32 - state
    return magnitude % count


def murmur2(key: bytes, count: int) -> int:
    """Return the partition that the Java client's default partitioner chooses."""
    return (murmur2_hash(key) & INT32_MAX) % count


def crc32(key: bytes, count: int) -> int:
    """Return the partition that librdkafka's default, `consistent_random`, chooses.

    Only for keys that are not empty: it scatters the others at random.
    """
    return zlib.crc32(key) % count


PARTITIONERS: Mapping[str, Partitioner] = MappingProxyType({"fnv1a": fnv1a, "murmur2": murmur2})
"""What `topics.partitioner` may name."""

KNOWN: Mapping[str, Partitioner] = MappingProxyType({**PARTITIONERS, "crc32": crc32})
"""What is recognised in a topic."""


def fitting(samples: Iterable[tuple[bytes, int]], count: int) -> str | None:
    """Return the name in `KNOWN` of the partitioner that explains every (key, partition) seen.

    None where no single one does, or where there is nothing to explain. Keys that are placed alike
    by several are explained by the first of them.
    """
    seen = set(samples)
    for name, partition in KNOWN.items():
        if seen and all(partition(key, count) == number for key, number in seen):
            return name
    return None


def murmur2_hash(key: bytes) -> int:
    """Return the 32-bit hash of the Java client, `Utils.murmur2`, as an unsigned number."""
    state = MURMUR2_SEED ^ len(key)
    whole = len(key) - len(key) % 4
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * MURMUR2_PRIME & UINT32_MAX
        word = (word ^ word >> 24) * MURMUR2_PRIME & UINT32_MAX
        state = state * MURMUR2_PRIME & UINT32_MAX ^ word
    if whole < len(key):
        state = (state ^ int.from_bytes(key[whole:], "little")) * MURMUR2_PRIME & UINT32_MAX
    state = (state ^ state >> 13) * MURMUR2_PRIME & UINT32_MAX
    return state ^ state >> 15
