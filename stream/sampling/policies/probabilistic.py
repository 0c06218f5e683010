"""`type: probabilistic`: keeps a share of the traces, chosen by trace id.

Bit for bit the Collector's choice, so that a Collector and a worker with one salt keep the same
traces; checked against vectors made in Go (`tests/unit/vectors/`).
"""

from fractions import Fraction
from math import floor

from stream.otlp.tracestate import THRESHOLD_LIMIT
from stream.sampling.decision import Vote
from stream.sampling.policies.policy import TraceSummary

DEFAULT_SALT = "default-hash-seed"
"""What the Collector hashes with where `hash_salt` is unset or empty."""

FNV64_OFFSET = 0xCBF29CE484222325
FNV64_PRIME = 0x100000001B3
UINT64_MAX = 2**64 - 1


class Probabilistic:
    """Votes sampled where the salted hash of the trace id is at most the percentage of 2**64 - 1.

    `threshold` is the 56-bit rejection threshold of the percentage, for the stamp `ot=th`.
    """

    __slots__ = ("hash_max", "name", "salted", "source", "threshold")

    def __init__(self, name: str, sampling_percentage: float, hash_salt: str = "") -> None:
        self.name = name
        self.threshold = rejection_threshold(sampling_percentage)
        self.hash_max = hash_limit(sampling_percentage)
        self.salted = fnv1a64((hash_salt or DEFAULT_SALT).encode())
        self.source = ("hash", self.salted)

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by its id."""
        if fnv1a64(trace.trace_id, self.salted) <= self.hash_max:
            return Vote.SAMPLED
        return Vote.NOT_SAMPLED


def fnv1a64(octets: bytes, state: int = FNV64_OFFSET) -> int:
    """Return the 64-bit FNV-1a hash, or continue one from `state` (Fowler, Noll, Vo)."""
    for octet in octets:
        state = (state ^ octet) * FNV64_PRIME & UINT64_MAX
    return state


def hash_limit(sampling_percentage: float) -> int:
    """Return the highest hash that is kept: the Collector's trunc(ratio * (2**64 - 1)), clamped.

    The ratio is rounded to a double, the product is exact: floats would differ in most thresholds.
    """
    exact = Fraction(UINT64_MAX) * Fraction(sampling_percentage / 100)
    return max(0, min(int(exact), UINT64_MAX))


def rejection_threshold(sampling_percentage: float) -> int:
    """Return 2**56 - round(p * 2**56), halves away from 0: how many of 2**56 ids are rejected.

    A percentage of 100 or more rejects none. A probability below 2**-56, 0 included, has no
    threshold, so it is 0 too, as in the Collector: nothing is claimed of what it keeps.
    """
    probability = min(Fraction(sampling_percentage / 100), Fraction(1))
    if probability < Fraction(1, THRESHOLD_LIMIT):
        return 0
    return THRESHOLD_LIMIT - floor(probability * THRESHOLD_LIMIT + Fraction(1, 2))
