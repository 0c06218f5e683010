"""What this worker knows of its partition's decisions topic: which part a successor must read."""

from collections import deque
from dataclasses import dataclass

from stream.sampling.decision import Decision
from stream.sampling.policies.limit import Levels
from stream.sampling.stores import KnownDecision

CHUNK_RECORDS = 1_000


@dataclass(slots=True)
class _Chunk:
    first: int
    end: int | None  # None: among what a transaction produced, up to the next `advance`
    upto: int
    time_ms: int
    records: int


class DecisionLog:
    """Runs of decision records with the highest `upto` and partition time in each.

    Offsets are lower bounds, which is all that a successor needs: it reads a little more.

    `levels` are those of the policies' limits after the last record that tells some, None where
    none does, and the hash of these policies. What was cut commits in the order of the cuts, so
    a successor's first cut, the first one that did not commit, must find these.
    """

    def __init__(self, next_offset: int = 0) -> None:
        self.next_offset = next_offset
        self.levels: tuple[str, Levels] | None = None
        self._levels_from: int | None = None
        self._chunks: deque[_Chunk] = deque()

    def append(self, decision: Decision | KnownDecision, offset: int | None = None) -> None:
        """Add a record.

        `offset` is known when it was read; a produced one lies at `next_offset` or above.
        """
        self.add(1, decision.upto, decision.time_ms, offset)

    def room(self) -> int:
        """Return how many produced records may be added at once."""
        last = self._chunks[-1] if self._chunks else None
        left = CHUNK_RECORDS - last.records if last else 0
        return left if left > 0 else CHUNK_RECORDS

    def add(self, records: int, upto: int, time_ms: int, offset: int | None = None) -> None:
        """Add so many records, `room()` at most; `upto` and `time_ms` are the highest of theirs.

        See `append`.
        """
        last = self._chunks[-1] if self._chunks else None
        end = None if offset is None else offset + 1
        if last is None or last.records >= CHUNK_RECORDS:
            first = self.next_offset if offset is None else offset
            self._chunks.append(_Chunk(first, end, upto, time_ms, records))
        else:
            last.end = end
            last.records += records
            last.upto = max(last.upto, upto)
            last.time_ms = max(last.time_ms, time_ms)

    def tell_levels(self, levels: Levels, config: str) -> None:
        """The record that was appended last tells these; where it is of no cut, none."""
        if levels:
            self.levels = config, levels
            self._levels_from = self._chunks[-1].first

    def put_before(self, older: "DecisionLog") -> None:
        """Add what lies below, once it has been read too."""
        self._chunks.extendleft(reversed(older._chunks))  # noqa: SLF001 - its own kind
        if self.levels is None:
            self.levels, self._levels_from = older.levels, older._levels_from  # noqa: SLF001 - as above

    def advance(self, next_offset: int) -> None:
        """The log holds everything below `next_offset` now."""
        self.next_offset = max(self.next_offset, next_offset)
        for chunk in reversed(self._chunks):
            if chunk.end is not None:
                break
            chunk.end = self.next_offset

    def needed_from(self, *, resume_offset: int, retained_from_ms: int) -> int:
        """Return the first offset that a successor must read.

        A replay needs what reaches above the resume offset, late spans what is younger than the
        retention, limits the last levels, whatever their age. Forgets nothing: a transaction
        planned for this offset may still be aborted.
        """
        for chunk in self._chunks:
            if (
                chunk.upto > resume_offset
                or chunk.time_ms >= retained_from_ms
                or chunk.first == self._levels_from
            ):
                return chunk.first
        return self.next_offset

    def replay_from(self, resume_offset: int) -> int:
        """Return the first offset that a successor must read before it replays."""
        for chunk in self._chunks:
            if chunk.upto > resume_offset:
                return chunk.first
        return self.next_offset

    def forget_below(self, offset: int) -> None:
        """No successor will need what lies wholly below `offset`: the commit said so."""
        while self._chunks and self._chunks[0].end is not None and self._chunks[0].end <= offset:
            self._chunks.popleft()
