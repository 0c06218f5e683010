"""What a worker knows of poison, over its own deaths: a small file in its storage directory."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from stream.kafka.scan_note import OffsetRange

POISON_MAX = 10_000
"""Of each partition only the highest offsets are kept: lower ones are committed past."""


class Book:
    """Ranges that one process died over (`suspects`), and the offsets of what is `poison`.

    Offsets speak of the topic with `topic_id`: what was written for another one is not read. Raises
    OSError where the file cannot be read or written.
    """

    def __init__(self, path: Path, topic_id: str) -> None:
        self._path = path
        self._topic_id = topic_id
        self.suspects: list[OffsetRange] = []
        self.poison: dict[int, frozenset[int]] = {}
        self._read()

    def add(self, found: Mapping[int, Iterable[int]]) -> None:
        """Add offsets by partition."""
        for number, offsets in found.items():
            known = sorted({*self.poison.get(number, ()), *offsets})
            self.poison[number] = frozenset(known[-POISON_MAX:])

    def write(self) -> None:
        """Write it, whole or not at all."""
        content = {
            "topic_id": self._topic_id,
            "suspects": [[one.partition, one.first, one.last] for one in self.suspects],
            "poison": {str(number): sorted(found) for number, found in self.poison.items()},
        }
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(content))
        draft.replace(self._path)

    def _read(self) -> None:
        try:
            content = json.loads(self._path.read_text())
            if content["topic_id"] != self._topic_id:
                return
            suspects = [OffsetRange(*map(int, one)) for one in content["suspects"]]
            poison = {
                int(number): frozenset(map(int, found))
                for number, found in content["poison"].items()
            }
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            # Damaged or none: what it said is found out again, by two deaths.
            return
        self.suspects, self.poison = suspects, poison
