"""By which choices a share of the traces is kept: what a threshold can tell of the verdict."""

from collections.abc import Iterable

from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.policies.ballot import Compound
from stream.sampling.policies.policy import Policy

Source = tuple[str, int]
"""A choice that policies share: of two with one source the sharper keeps a part of the other's."""


def sources(policies: Iterable[Policy]) -> set[Source]:
    """Return the sources of all shares in these policies, to any depth."""
    found: set[Source] = set()
    for policy in policies:
        if isinstance(policy, Compound):
            found |= sources(policy.parts())
        if (source := getattr(policy, "source", None)) is not None:
            found.add(source)
    return found


def all_of(policies: Iterable[Policy]) -> int:
    """Return the threshold of what all of these keep: the highest, if they choose alike."""
    known = list(policies)
    if len(sources(known)) > 1:
        return UNKNOWN_THRESHOLD
    return max((policy.threshold for policy in known), default=0)


def any_of(thresholds: Iterable[int], *, alike: bool) -> int:
    """Return the threshold of what any of these kept, all of which voted to; `alike`: one source.

    A filter keeps for sure. Of shares that choose alike the lowest counts; of others none knows
    what the rest would have kept.
    """
    known = list(thresholds)
    if 0 in known:
        return 0
    return min(known) if alike and UNKNOWN_THRESHOLD not in known else UNKNOWN_THRESHOLD
