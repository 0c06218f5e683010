"""The note that outlives a process which dies in a scan: which records it was scanning.

A mapped file, so that a poll costs a few stores to memory and no system call. The page cache keeps
what a killed process wrote; a machine that goes down takes the note with it, and then the scan was
not what ended the process.
"""

import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any, Protocol

_MAGIC = b"tailstream-scan1"
_SCANNING_AT = len(_MAGIC)
_HEADER = Struct("<x36sI")
_RANGE = Struct("<iqq")
_RANGES_AT = _SCANNING_AT + _HEADER.size
RANGES_MAX = 1_000
"""A poll has no more messages than that, so no more partitions."""
_BYTES = _RANGES_AT + RANGES_MAX * _RANGE.size


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Records of one partition of the input, both ends included."""

    partition: int
    first: int
    last: int

    def overlaps(self, other: "OffsetRange") -> bool:
        """Return whether some record is in both."""
        same = self.partition == other.partition
        return same and self.first <= other.last and other.first <= self.last


class Scanning(Protocol):
    """Who is told of each scan."""

    def begin(self, messages: Sequence[Any]) -> None:
        """These messages are scanned now."""

    def end(self) -> None:
        """The scan has ended, whatever it found."""


class ScanNote:
    """The note of one worker slot, in a file at `path`.

    `topic_id` is Kafka's id of the input: offsets mean nothing in another topic. Set it before the
    first scan. Raises OSError where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            if file.seek(0, 2) != _BYTES:
                # Written, not only made longer: a map of a file with holes on a full disk ends the
                # process by a signal, at its first store.
                file.truncate(0)
                file.write(bytes(_BYTES))
                file.flush()
            self._map = mmap.mmap(file.fileno(), _BYTES)
        if self._map[:_SCANNING_AT] != _MAGIC:
            self._map[:] = _MAGIC.ljust(_BYTES, b"\0")
        self.topic_id = ""

    def left(self) -> tuple[str, list[OffsetRange]]:
        """Return the topic's id and what a process that died was scanning, in vain if it was not.

        Ask before the first scan.
        """
        topic_id, count = _HEADER.unpack_from(self._map, _SCANNING_AT)
        if not self._map[_SCANNING_AT] or count > RANGES_MAX:
            return "", []
        places = range(_RANGES_AT, _RANGES_AT + count * _RANGE.size, _RANGE.size)
        ranges = [OffsetRange(*_RANGE.unpack_from(self._map, place)) for place in places]
        return topic_id.rstrip(b"\0").decode(errors="replace"), ranges

    def begin(self, messages: Iterable[Any]) -> None:
        """Note what is scanned now."""
        ranges = _ranges(messages)
        for index, (partition, (first, last)) in enumerate(ranges.items()):
            _RANGE.pack_into(self._map, _RANGES_AT + index * _RANGE.size, partition, first, last)
        _HEADER.pack_into(self._map, _SCANNING_AT, self.topic_id.encode(), len(ranges))
        # Last, so that a note is either whole or none.
        self._map[_SCANNING_AT] = 1

    def end(self) -> None:
        """Note that the process lives."""
        self._map[_SCANNING_AT] = 0

    def close(self) -> None:
        """Unmap the file. What is noted stays."""
        self._map.close()


def _ranges(messages: Iterable[Any]) -> dict[int, list[int]]:
    ranges: dict[int, list[int]] = {}
    for message in messages:
        offset = message.offset()
        if offset is None:  # an error's
            continue
        number = message.partition()
        found = ranges.get(number)
        if found is None:
            ranges[number] = [offset, offset]
        else:
            found[1] = offset
    return ranges
