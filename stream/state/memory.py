"""The stores of one partition in plain dicts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stream import compiled
from stream.sampling.kept_offsets import bytes_of
from stream.sampling.stores import InMemory, KnownDecision
from stream.state.generations import Generations, known_in

DECISION_OVERHEAD_BYTES = 210 if compiled.RUNS else 300
"""What is held for one decision beside its span ids and offsets (objects, key, dict slot;
measured)."""

_BUCKET_OFFSETS = 1024
"""Bodies are discarded in buckets of so many offsets."""

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling._bodies import Bodies
    from stream.state import _memory as in_c


class MemorySpanStore:
    """A `SpanStore` in memory: a dict for each bucket of offsets."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[tuple[bytes, int], bytes]] = {}
        self._held_bytes = 0
        self._held_bodies = 0

    @property
    def bodies(self) -> int:
        """How many bodies are held."""
        return self._held_bodies

    @property
    def body_bytes(self) -> int:
        """How many bytes they have."""
        return self._held_bytes

    def put(self, bodies: Sequence[tuple[bytes, int, bytes]]) -> None:
        """See `SpanStore.put`."""
        number, bucket, held = -1, {}, 0
        for trace_id, offset, body in bodies:
            if offset // _BUCKET_OFFSETS != number:
                number = offset // _BUCKET_OFFSETS
                bucket = self._buckets.setdefault(number, {})
            bucket[trace_id, offset] = body
            held += len(body)
        self._held_bytes += held
        self._held_bodies += len(bodies)

    def get(self, trace_id: bytes, offsets: Sequence[int]) -> list[bytes]:
        """See `SpanStore.get`."""
        found = []
        for offset in offsets:
            body = self.find(trace_id, offset)
            assert body is not None, f"no body of trace {trace_id.hex()} at offset {offset}"
            found.append(body)
        return found

    def find(self, trace_id: bytes, offset: int) -> bytes | None:
        """Return one body, None if it is not here."""
        bucket = self._buckets.get(offset // _BUCKET_OFFSETS)
        return None if bucket is None else bucket.get((trace_id, offset))

    def delete(self, trace_id: bytes, offsets: Sequence[int]) -> None:
        """See `SpanStore.delete`; the space is free at once."""
        for offset in offsets:
            number = offset // _BUCKET_OFFSETS
            bucket = self._buckets.get(number)
            body = None if bucket is None else bucket.pop((trace_id, offset), None)
            if body is not None:
                self._forget(1, len(body))
                if not bucket:
                    del self._buckets[number]

    def pop_oldest(self, wanted_bytes: int) -> list[tuple[bytes, int, bytes]]:
        """Take out bodies of the lowest buckets until they have so many bytes, or none is left."""
        taken: list[tuple[bytes, int, bytes]] = []
        taken_bytes = 0
        for number in sorted(self._buckets):
            bucket = self._buckets[number]
            keys = []
            for key, body in bucket.items():
                if taken_bytes >= wanted_bytes:
                    break
                keys.append(key)
                taken.append((*key, body))
                taken_bytes += len(body)
            if len(keys) < len(bucket):
                for key in keys:
                    del bucket[key]
                break
            del self._buckets[number]
        self._forget(len(taken), taken_bytes)
        return taken

    def discard_below(self, offset: int) -> None:
        """See `SpanStore.discard_below`; whole buckets go."""
        bound = offset // _BUCKET_OFFSETS
        for number in [number for number in self._buckets if number < bound]:
            bucket = self._buckets.pop(number)
            self._forget(len(bucket), sum(map(len, bucket.values())))

    @property
    def in_memory(self) -> None:
        """See `SpanStore.in_memory`."""

    def lowest_affordable(self) -> int:
        """See `SpanStore.lowest_affordable`; bodies in memory are the business of its budget."""
        return 0

    def held_bytes(self) -> Mapping[str, int]:
        """See `SpanStore.held_bytes`."""
        return {"memory": self._held_bytes, "rocksdb": 0}

    def close(self) -> None:
        """See `SpanStore.close`."""
        self._buckets.clear()
        self._forget(self._held_bodies, self._held_bytes)

    def _forget(self, bodies: int, body_bytes: int) -> None:
        self._held_bodies -= bodies
        self._held_bytes -= body_bytes


if not TYPE_CHECKING and compiled.RUNS:

    class MemorySpanStore(Bodies):
        """A `SpanStore` in memory: an array of bodies for each trace, in C."""

        @property
        def in_memory(self) -> Bodies:
            """See `SpanStore.in_memory`."""
            return self

        def lowest_affordable(self) -> int:
            """See `SpanStore.lowest_affordable`; these are the business of its budget."""
            return 0

        def held_bytes(self) -> Mapping[str, int]:
            """See `SpanStore.held_bytes`."""
            return {"memory": self.body_bytes, "rocksdb": 0}


class MemoryDecisionStore:
    """A `DecisionStore` in memory: a dict for each generation, looked up newest first.

    `retention_ms` says how long decisions are wanted, in partition time; it sets how many go at
    once (a sixth of it), the caller of `expire` says when.
    """

    def __init__(self, *, retention_ms: int = 600_000) -> None:
        self._generations = Generations(retention_ms)
        self._known: dict[int, dict[bytes, KnownDecision]] = {}

    def get(self, trace_id: bytes) -> KnownDecision | None:
        """See `DecisionStore.get`."""
        if compiled.RUNS:
            return in_c.find_decision(self._known, trace_id)
        for known in reversed(self._known.values()):
            decision = known.get(trace_id)
            if decision is not None:
                return decision
        return None

    @property
    def in_memory(self) -> InMemory:
        """See `DecisionStore.in_memory`."""
        return InMemory(self._known, ())

    def put(self, decisions: Sequence[tuple[bytes, KnownDecision]]) -> None:
        """See `DecisionStore.put`."""
        if compiled.RUNS:
            in_c.put_decisions(self._generations, self._known, decisions, DECISION_OVERHEAD_BYTES)
            return
        for trace_id, decision in decisions:
            if self._generations.is_past(decision.time_ms) and self.get(trace_id) is not None:
                # Looked up newest first, it would be hidden by the one that it replaces.
                generation = self._generations.newest
            else:
                generation = self._generations.of(decision.time_ms)
            generation.add(decision.time_ms, decision.upto)
            known = known_in(self._known, generation.number)
            replaced = known.get(trace_id)
            if replaced is not None:
                generation.held_bytes -= _held_bytes(replaced)
            known[trace_id] = decision
            generation.held_bytes += _held_bytes(decision)

    def pop_oldest(self, wanted_bytes: int) -> list[tuple[bytes, KnownDecision]]:
        """Take out the decisions that came first until they had so many bytes, or none is left."""
        taken: list[tuple[bytes, KnownDecision]] = []
        for generation in self._generations:
            known = self._known[generation.number]
            first = len(taken)
            for one in known.items():
                if wanted_bytes <= 0:
                    break
                taken.append(one)
                held_bytes = _held_bytes(one[1])
                wanted_bytes -= held_bytes
                generation.held_bytes -= held_bytes
            for trace_id, _ in taken[first:]:
                del known[trace_id]
        return taken

    def expire(self, before_ms: int, resume_offset: int) -> None:
        """See `DecisionStore.expire`."""
        for generation in self._generations.expire(before_ms, resume_offset):
            del self._known[generation.number]

    def __len__(self) -> int:
        """See `DecisionStore.__len__`; a replaced decision may count until it is forgotten."""
        return sum(map(len, self._known.values()))

    def held_bytes(self) -> Mapping[str, int]:
        """See `DecisionStore.held_bytes`; an estimate."""
        return {"memory": sum(one.held_bytes for one in self._generations), "rocksdb": 0}

    def close(self) -> None:
        """See `DecisionStore.close`."""
        self._generations.clear()
        self._known.clear()


def _held_bytes(decision: KnownDecision) -> int:
    return DECISION_OVERHEAD_BYTES + len(decision.span_ids) + bytes_of(decision.offsets)
