"""What the core asks of the stores that hold spans and decisions.

Both are owned by one partition and are wiped when it is assigned: the input topic is the changelog
of the spans, the decisions topic that of the decisions. Every implementation passes the suites in
`tests/contract/`.
"""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from stream import compiled
from stream.sampling.decision import Decision, Trigger, Verdict
from stream.sampling.kept_offsets import KeptOffsets, kept_offsets, read_offsets

if TYPE_CHECKING:
    from stream.sampling._bodies import Bodies


@dataclass(slots=True)
class KnownDecision:
    """What must be remembered of a decided trace for its late spans and for a replay.

    Nobody changes one. It is not frozen, because one is made for every trace that ends, and making
    a frozen one takes four times as long.

    `upto`: every record of the trace below this offset is done. `time_ms`: partition time of the
    decision. `span_ids`: the keys (`span_key`) of the spans delivered so far, 8 bytes each, joined;
    empty for a trace that was not sampled. `span_ids_complete` is False where the list was cut at
    its limit.
    `offsets`: where the records lie of a trace that was not sampled, should it be promoted.
    """

    verdict: Verdict
    policy: str
    trigger: Trigger
    threshold: int
    upto: int
    time_ms: int
    span_ids: bytes = b""
    span_ids_complete: bool = True
    offsets: KeptOffsets = b""

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """Return what is to be remembered of a decision, as its record says."""
        return cls(
            decision.verdict,
            decision.policy,
            decision.trigger,
            decision.threshold,
            decision.upto,
            decision.time_ms,
            decision.span_ids,
            decision.span_ids_complete,
            kept_offsets(decision.offsets) if decision.verdict is Verdict.NOT_SAMPLED else b"",
        )

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Return what is to be remembered of a decision record (`fields_of`), and no more.

        Raises:
            Exception: of any kind, where something is not there.
        """
        verdict = Verdict(fields["verdict"])
        return cls(
            verdict,
            fields["policy"],
            Trigger(fields["trigger"]),
            fields["th"],
            fields["upto"],
            fields["time_ms"],
            fields.get("span_ids", b""),
            fields.get("span_ids_complete", True),
            read_offsets(fields) if verdict is Verdict.NOT_SAMPLED else b"",
        )


PureKnownDecision = KnownDecision
"""The one in Python, whichever core runs."""

if not TYPE_CHECKING and compiled.RUNS:
    from stream.sampling._stores import KnownDecision


class SpanStore(Protocol):
    """The bodies of the undecided and undelivered fragments of one partition."""

    def put(self, bodies: Sequence[tuple[bytes, int, bytes]]) -> None:
        """Keep bodies, each (trace id, offset, body). A pair (trace id, offset) comes once."""

    @property
    def in_memory(self) -> "Bodies | None":
        """What the compiled core may put bodies in, and delete them from, without a call.

        It calls `put` all the same after each batch, with what is left to put. None: nothing.
        """

    def get(self, trace_id: bytes, offsets: Sequence[int]) -> list[bytes]:
        """Return the trace's bodies at these offsets, in their order. All must be there."""

    def delete(self, trace_id: bytes, offsets: Sequence[int]) -> None:
        """Forget bodies that nobody will ask for again. Their space may come back later."""

    def discard_below(self, offset: int) -> None:
        """Nothing below this offset will be asked for again: give the space back."""

    def lowest_affordable(self) -> int:
        """Return the offset below which bodies must go for the store to keep its limit; 0: none.

        Where it is shared with other partitions, the store keeps an equal share at least. The same
        until the bodies are discarded, so who has cut the traces below it need not cut more.
        """

    def held_bytes(self) -> Mapping[str, int]:
        """Bytes of bodies held now, by place: `memory`, `rocksdb`."""

    def close(self) -> None:
        """Drop everything and release files. The store is not used again."""


@dataclass(frozen=True, slots=True)
class InMemory:
    """The decisions of a store that are in memory: by generation, the newest last.

    Where `beyond` is empty there are no others.
    """

    by_generation: dict[int, dict[bytes, KnownDecision]]
    beyond: Sized


class DecisionStore(Protocol):
    """The committed decisions of one partition."""

    def get(self, trace_id: bytes) -> KnownDecision | None:
        """Return the newest decision put for this trace, None if unknown or expired."""

    @property
    def in_memory(self) -> "InMemory | None":
        """Where the compiled core may look before it asks `get`. None: nowhere."""

    def put(self, decisions: Sequence[tuple[bytes, KnownDecision]]) -> None:
        """Remember decisions, each (trace id, decision). A later one replaces an earlier one."""

    def expire(self, before_ms: int, resume_offset: int) -> None:
        """Forget decisions older than `before_ms` whose `upto` is at most `resume_offset`.

        May keep some for longer (whole buckets go at once); never forgets one above the offset.
        """

    def __len__(self) -> int:
        """Return how many traces are remembered (an estimate is allowed)."""

    def held_bytes(self) -> Mapping[str, int]:
        """Bytes held now, by place: `memory`, `rocksdb`."""

    def close(self) -> None:
        """Drop everything and release files. The store is not used again."""
