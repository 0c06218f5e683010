# cython: language_level=3, boundscheck=True, wraparound=False
"""What is remembered of a decided trace: the compiled half of `stores.py`, which says what it is.

One is made for every trace that ends, and lives for minutes beside very many others: the collector
of cycles need not know any of them, for nothing that one holds leads back to it.
"""

cimport cython

from stream.sampling._decision cimport kept_deltas

from stream.sampling.decision import Trigger, Verdict
from stream.sampling.kept_offsets import kept_offsets, read_offsets

cdef object NOT_SAMPLED = Verdict.NOT_SAMPLED
cdef tuple FIELDS = (
    "verdict", "policy", "trigger", "threshold", "upto", "time_ms", "span_ids",
    "span_ids_complete", "offsets",
)


@cython.no_gc
@cython.freelist(1024)
cdef class KnownDecision:
    """What must be remembered of a decided trace."""

    def __init__(
        self, verdict, policy, trigger, int64_t threshold, int64_t upto, int64_t time_ms,
        span_ids=b"", span_ids_complete=True, offsets=b"",
    ):
        self.verdict = verdict
        self.policy = policy
        self.trigger = trigger
        self.threshold = threshold
        self.upto = upto
        self.time_ms = time_ms
        self.span_ids = span_ids
        self.span_ids_complete = span_ids_complete
        self.offsets = offsets

    @classmethod
    def of(cls, Decision decision not None):
        """Return what is to be remembered of a decision, as its record says."""
        return known_of(decision)

    @classmethod
    def read(cls, fields):
        """Return what is to be remembered of a decision record (`fields_of`), and no more."""
        verdict = Verdict(fields["verdict"])
        return cls(
            verdict, fields["policy"], Trigger(fields["trigger"]), fields["th"],
            fields["upto"], fields["time_ms"], fields.get("span_ids", b""),
            fields.get("span_ids_complete", True),
            read_offsets(fields) if verdict is NOT_SAMPLED else b"",
        )

    @property
    def __dataclass_fields__(self):
        """The fields, as `dataclasses.replace` wants them."""
        from stream.sampling.stores import PureKnownDecision

        return PureKnownDecision.__dataclass_fields__

    def __eq__(self, other):
        if not isinstance(other, KnownDecision):
            return NotImplemented
        return all([getattr(self, name) == getattr(other, name) for name in FIELDS])

    def __repr__(self):
        shown = ", ".join([f"{name}={getattr(self, name)!r}" for name in FIELDS])
        return f"KnownDecision({shown})"


cdef KnownDecision known_of(Decision decision):
    """Return what is to be remembered of a decision."""
    cdef KnownDecision known = KnownDecision.__new__(KnownDecision)
    known.verdict = decision.verdict
    known.policy = decision.policy
    known.trigger = decision.trigger
    known.threshold = decision.threshold
    known.upto = decision.upto
    known.time_ms = decision.time_ms
    known.span_ids = decision.span_ids
    known.span_ids_complete = decision.span_ids_complete
    known.offsets = b""
    if decision.verdict is NOT_SAMPLED:
        known.offsets = kept_deltas(decision.offsets)
        if known.offsets is None:
            known.offsets = kept_offsets(decision.offsets)
    return known
