"""Where the records of a dropped trace lie: remembered with its decision, should it be promoted."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stream.sampling.decision import OFFSETS_BYTES_MAX, decode_offsets, encode_offsets

KeptOffsets = bytes | tuple[int, int]
"""Ascending offsets as `encode_offsets` writes them; of very many, (first, last) of a range that
holds them, among records of other traces."""

KEPT_BYTES_MAX = OFFSETS_BYTES_MAX
BYTES_OBJECT_BYTES: Final = 40
RANGE_BYTES: Final = 128


def kept_offsets(offsets: Sequence[int]) -> KeptOffsets:
    """Return ascending offsets as they are remembered."""
    # An offset takes a byte at least.
    if len(offsets) <= KEPT_BYTES_MAX:
        deltas = encode_offsets(list(offsets))
        if len(deltas) <= KEPT_BYTES_MAX:
            return deltas
    return offsets[0], offsets[-1]


def read_offsets(fields: Mapping[str, Any]) -> KeptOffsets:
    """Return those of a decision record.

    Raises:
        Exception: of any kind, where they are not as a worker writes them.
    """
    if "offset_range" not in fields:
        deltas = fields["offsets"]
        if type(deltas) is not bytes or len(deltas) > OFFSETS_BYTES_MAX:
            raise ValueError("no offsets of a decision")
        return deltas
    first, last = fields["offset_range"]
    if not 0 <= first <= last:
        raise ValueError("no range of offsets")
    return int(first), int(last)


def both_offsets(one: KeptOffsets, other: KeptOffsets) -> KeptOffsets:
    """Return the offsets of both."""
    if not one or not other:
        return one or other
    if isinstance(one, bytes) and isinstance(other, bytes):
        return kept_offsets(sorted({*decode_offsets(one), *decode_offsets(other)}))
    ends = (*ends_of(one), *ends_of(other))
    return min(ends), max(ends)


def ends_of(offsets: KeptOffsets) -> tuple[int, int]:
    """Return the first and the last of these; there must be one."""
    if isinstance(offsets, tuple):
        return offsets
    listed = decode_offsets(offsets)
    return listed[0], listed[-1]


def bytes_of(offsets: KeptOffsets) -> int:
    """Return what they take in memory (an estimate)."""
    if isinstance(offsets, tuple):
        return RANGE_BYTES
    return BYTES_OBJECT_BYTES + len(offsets) if offsets else 0
