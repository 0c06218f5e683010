"""What a head sampler would have kept of the same traffic, by the specification's arithmetic."""

from math import sqrt

from stream.demo.recall.checkout import Checkout
from stream.otlp.tracestate import THRESHOLD_LIMIT
from stream.sampling.policies.probabilistic import rejection_threshold

SHARE = 0.01
SIGMAS = 5.0


def is_head_kept(checkout: Checkout, share: float = SHARE) -> bool:
    """Tell whether a consistent probability sampler keeps a trace at its head.

    A trace's randomness is the last 56 bits of its id:
    https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
    """
    randomness = int.from_bytes(checkout.trace_id) % THRESHOLD_LIMIT
    return randomness >= rejection_threshold(share * 100)


def likely_most(count: int, share: float = SHARE) -> int:
    """Return how many of `count` traces a head sampler keeps at most; more is no chance.

    The binomial mean and five standard deviations, and one for small counts.
    """
    return int(count * share + SIGMAS * sqrt(count * share * (1 - share)) + 1)
