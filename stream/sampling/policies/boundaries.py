"""Where the votes of policies change, but for the bits: what two traces of one judgement share."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.and_ import And
from stream.sampling.policies.attribute import Attribute
from stream.sampling.policies.completeness import Completeness
from stream.sampling.policies.consistent import ConsistentProbabilistic
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.latency import Latency
from stream.sampling.policies.leaf import Leaf
from stream.sampling.policies.not_ import Not
from stream.sampling.policies.ottl_condition import OttlCondition
from stream.sampling.policies.policy import Policy
from stream.sampling.policies.probabilistic import Probabilistic
from stream.sampling.policies.span_count import SpanCount
from stream.sampling.policies.status_code import StatusCode

BOUNDARIES_MAX: Final = 1_000
"""Above so many of one kind there is no gain in knowing them."""

_OF_BITS: Final = (AlwaysSample, Attribute, Completeness, Leaf, OttlCondition, StatusCode)


@dataclass(frozen=True, slots=True)
class Boundaries:
    """What a vote compares with.

    Every policy votes the same of two traces if their bits are equal, neither's duration (whole
    milliseconds) is above one of `latencies_ms` that the other's is not above, nor its number of
    spans above one of `span_counts`, and their ids' hashes lie on the same side of all `hashes`,
    each (FNV-1a state after the salt, highest hash that is kept), and so do their last 56 bits
    of all `randoms`.
    """

    latencies_ms: tuple[int, ...]
    span_counts: tuple[int, ...]
    hashes: tuple[tuple[int, int], ...]
    randoms: tuple[int, ...] = ()


def boundaries(policies: Iterable[Policy]) -> Boundaries | None:
    """Return those of all policies, None where one is of a type that is not known here.

    Also where there are more than `BOUNDARIES_MAX`.
    """
    latencies_ms: set[int] = set()
    span_counts: set[int] = set()
    hashes: set[tuple[int, int]] = set()
    randoms: set[int] = set()
    left = list(policies)
    while left:
        match left.pop():
            case And() | Drop() as several:
                left += several.sub_policies
            case Not() as inverted:
                left.append(inverted.sub_policy)
            case Latency(threshold_ms=above, upper_threshold_ms=upto):
                latencies_ms |= {above, upto} if upto > 0 else {above}
            case SpanCount(min_spans=fewest, max_spans=most):
                span_counts |= {fewest - 1, most} if most > 0 else {fewest - 1}
            case ConsistentProbabilistic() as consistent:
                randoms.add(consistent.rejected)
                left.append(consistent.by_hash)
            case Probabilistic() as share:
                hashes.add((share.salted, share.hash_max))
            case policy if not isinstance(policy, _OF_BITS):
                return None
    most = max(len(latencies_ms), len(span_counts), len(hashes), len(randoms))
    if most > BOUNDARIES_MAX:
        return None
    return Boundaries(
        tuple(sorted(latencies_ms)), tuple(sorted(span_counts)), tuple(hashes), tuple(randoms)
    )
