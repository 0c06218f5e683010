"""What a policy is, and all that it may know of a trace."""

from typing import Protocol

from stream.sampling.decision import Vote


class TraceSummary(Protocol):
    """The sum of a trace's fragments. Nothing in it depends on the order they came in."""

    @property
    def trace_id(self) -> bytes:
        """The id, 16 bytes."""

    @property
    def spans(self) -> int:
        """How many spans were received."""

    @property
    def errors(self) -> int:
        """How many of them have status ERROR."""

    @property
    def start_ns(self) -> int:
        """The earliest start, Unix nanoseconds; 0 where no span has one."""

    @property
    def end_ns(self) -> int:
        """The latest end, Unix nanoseconds; 0 where no span has one."""

    @property
    def root(self) -> bool:
        """Whether a root span was received."""

    @property
    def bits(self) -> int:
        """The leaf conditions that some span matched, as masks of the policies' `Matcher`."""


class Policy(Protocol):
    """One entry of `tail_sampling.policies`.

    Every implementation passes the suite in `tests/contract/test_policies.py`.
    """

    @property
    def name(self) -> str:
        """The name given in the configuration, unique among the policies."""

    @property
    def threshold(self) -> int:
        """The 56-bit rejection threshold of a `SAMPLED` vote; 0 for a filter, which rejects none.

        `UNKNOWN_THRESHOLD` of one that keeps some and not others, and cannot say which share.

        The trace's adjusted count is 2**56 / (2**56 - threshold) (OpenTelemetry, TraceState `th`).
        """

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace. A function of the summary alone: no clock, no memory, no other input.

        But for limits (`limit.py`): a function of those judged before in this partition, too.
        """
