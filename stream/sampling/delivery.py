"""What the core has decided and the worker has yet to deliver."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream import compiled
from stream.otlp.fragment import BadSpans
from stream.sampling.decision import Decision, Vote

DEAD_LETTER_BYTES = 500
"""What Python holds for a dead letter beside its bytes (objects, places in queues; an estimate)."""


@dataclass(slots=True, eq=False)
class Delivery:
    """A decision and the fragments it covers: the whole trace at its cut, or late spans after it.

    `body_bytes` are those of the bodies that go out: none of a trace that is not sampled.
    `first_offset` holds the resume offset until the delivery has committed, `opened_ms` is the
    partition time there. `due_ms` is when it was due, in partition time; `votes` are the policies'
    at its cut, in the order they were cast (none for late spans). `headers` go out with it.
    `undeliverable` is set when the broker refused it for its own fault. `held_bytes` is what it
    takes in memory.
    """

    decision: Decision
    first_offset: int
    opened_ms: int
    body_bytes: int
    due_ms: int = 0
    votes: Sequence[tuple[str, Vote]] = ()
    headers: dict[tuple[str, bytes], None] = field(default_factory=dict)
    late: bool = False
    undeliverable: bool = False
    held_bytes: int = 0


PureDelivery = Delivery
"""The one in Python, whichever core runs."""

if not TYPE_CHECKING and compiled.RUNS:
    from stream.sampling._delivery import Delivery


@dataclass(slots=True, eq=False)
class DeadLetter:
    """Spans, or a whole record, that cannot be sampled. Holds the resume offset like a delivery."""

    first_offset: int
    opened_ms: int
    bad: BadSpans
    key: bytes | None
    undeliverable: bool = False

    @property
    def body_bytes(self) -> int:
        """The size of what goes to the dead letters."""
        return len(self.bad.body)

    @property
    def held_bytes(self) -> int:
        """What it takes in memory: its bytes are in no store."""
        return DEAD_LETTER_BYTES + len(self.bad.body) + len(self.key or b"")


Undelivered = Delivery | DeadLetter


def of_one_record(one: Undelivered, other: Undelivered) -> bool:
    """Tell whether both are dead letters of the same record."""
    return (
        isinstance(one, DeadLetter)
        and isinstance(other, DeadLetter)
        and one.first_offset == other.first_offset
    )


@dataclass(slots=True)
class Settled:
    """How a delivery ended, in spans, once its transaction has committed.

    `span_ids` are the keys of all spans delivered for the trace so far; `duplicates` were removed,
    `dead_lettered` could not be produced.
    """

    delivered: Undelivered
    duplicates: int = 0
    dead_lettered: int = 0
    span_ids: bytes = b""
    span_ids_complete: bool = True


PureSettled = Settled
"""The one in Python, whichever core runs."""

if not TYPE_CHECKING and compiled.RUNS:
    from stream.sampling._delivery import Settled
