"""Types `rate_limiting` and `bytes_limiting`: keep what fits into a rate of spans, or of bytes."""

from collections.abc import Sequence

from stream.sampling.decision import Vote
from stream.sampling.policies.limit import Limit
from stream.sampling.policies.policy import TraceSummary
from stream.sampling.policies.token_bucket import TokenBucket


class _Limiting(Limit):
    """Votes sampled where the bucket has what a trace takes, and takes it.

    Also where another policy decides: who is asked, pays. `burst` of 0 is twice the rate.
    """

    __slots__ = ("_bucket",)

    def __init__(self, name: str, per_second: int, burst: int = 0) -> None:
        super().__init__(name)
        self._bucket = TokenBucket(per_second, burst or 2 * per_second)

    @property
    def levels(self) -> tuple[int, ...]:
        """The bucket's."""
        return self._bucket.levels

    def restore(self, levels: Sequence[int]) -> None:
        """Fill the bucket as it was."""
        self._bucket.restore(levels)

    def _vote(self, tokens: int) -> Vote:
        partitions = self.fleet.partitions
        allowed = self._bucket.allows(tokens, time_ms=self.due_ms, partitions=partitions)
        return Vote.SAMPLED if allowed else Vote.NOT_SAMPLED


class RateLimiting(_Limiting):
    """A trace takes as many tokens as it has spans."""

    __slots__ = ()

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by its spans, when it was due, and what passed before."""
        return self._vote(trace.spans)


class BytesLimiting(_Limiting):
    """A trace takes as many tokens as its bodies have bytes, as they came (OTLP protobuf)."""

    __slots__ = ()

    def vote(self, trace: TraceSummary) -> Vote:  # noqa: ARG002 - the contract's parameter
        """Judge a trace by its size, when it was due, and what passed before."""
        return self._vote(self.body_bytes)
