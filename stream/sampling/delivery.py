"""What the core has decided and the worker has yet to deliver."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from stream.otlp.fragment import BadSpans
from stream.sampling.decision import Decision, Vote


@dataclass(slots=True, eq=False)
class Delivery:
    """A decision and the fragments it covers: the whole trace at its cut, or late spans after it.

    `first_offset` holds the resume offset until the delivery has committed, `opened_ms` is the
    partition time there. `due_ms` is when it was due, in partition time; `votes` are the policies'
    at its cut, in the order they were cast (none for late spans). `headers` go out with it.
    `undeliverable` is set when the broker refused it for its own fault.
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


Undelivered = Delivery | DeadLetter


@dataclass(slots=True)
class Settled:
    """How a delivery ended, in spans, once its transaction has committed.

    `span_ids` are all ids delivered for the trace so far; `duplicates` were removed,
    `dead_lettered` could not be produced.
    """

    delivered: Undelivered
    duplicates: int = 0
    dead_lettered: int = 0
    span_ids: bytes = b""
    span_ids_complete: bool = True
