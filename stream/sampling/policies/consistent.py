"""`type: probabilistic` with `mode: trace_state`: consistent with samplers before and after it.

https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/; the Collector has
it behind the feature gate `processor.tailsamplingprocessor.usetracestate`.
"""

from stream.otlp.tracestate import THRESHOLD_LIMIT, randomness_of
from stream.sampling.decision import Vote
from stream.sampling.matcher import (
    FirstSamplingIs,
    Matcher,
    RandomnessIs,
    SamplingIsTold,
)
from stream.sampling.policies.policy import TraceSummary
from stream.sampling.policies.probabilistic import Probabilistic, rejection_threshold


class ConsistentProbabilistic:
    """Votes sampled where a trace's randomness reaches the percentage's rejection threshold.

    That is what any other sampler of the trace compared it with, so the sharper of two keeps a part
    of what the other keeps. A trace of which no span tells of sampling (`ot=th`, `ot=rv`) is chosen
    by its hash, as `Probabilistic` does. The randomness is `rv`, the highest if there are several;
    else the trace id's; `as_collector` the first, and read as the Collector does.
    """

    __slots__ = (
        "_given",
        "_reached",
        "_told",
        "by_hash",
        "name",
        "rejected",
        "source",
        "threshold",
    )

    def __init__(
        self,
        name: str,
        sampling_percentage: float,
        hash_salt: str,
        matcher: Matcher,
        *,
        as_collector: bool = False,
    ) -> None:
        self.name = name
        self.by_hash = Probabilistic(name, sampling_percentage, hash_salt)
        self.threshold = rejection_threshold(sampling_percentage)
        # A probability below 2**-56 has no threshold, and keeps nothing.
        rejects_all = self.threshold == 0 and sampling_percentage < 1
        self.rejected = THRESHOLD_LIMIT if rejects_all else self.threshold
        self.source = ("trace_state", self.by_hash.salted)
        self._told = matcher.mask(FirstSamplingIs(None) if as_collector else SamplingIsTold())
        randomness = FirstSamplingIs if as_collector else RandomnessIs
        self._given = matcher.mask(randomness(0))
        self._reached = matcher.mask(randomness(self.rejected))

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by its randomness."""
        bits = trace.bits
        if not bits & self._told:
            return self.by_hash.vote(trace)
        if bits & self._given:
            reached = bits & self._reached != 0
        else:
            reached = randomness_of(trace.trace_id) >= self.rejected
        return Vote.SAMPLED if reached else Vote.NOT_SAMPLED
