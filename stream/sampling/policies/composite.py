"""`type: composite`: shares a rate of spans among sub-policies."""

from collections.abc import Sequence

from stream.sampling.decision import Vote
from stream.sampling.policies.ballot import NOT_ASKED, Compound, cast
from stream.sampling.policies.limit import LEVEL_MAX, Limit
from stream.sampling.policies.policy import Policy, TraceSummary

SECOND_MS = 1_000


class Composite(Compound, Limit):
    """Votes sampled where a sub-policy does, and that one's spans of this second leave room.

    They are asked in this `order`, by their places in the list, else as listed; each has its rate
    in spans a second. Where one that votes sampled has no room, the next one is asked, so what is
    left goes to those behind, and all together stay below `spans_per_second`. With `as_collector`
    that one's word is the last and only its own spans count, as in contrib,
    internal/sampling/composite.go.

    Seconds are whole ones of partition time. A share that is smaller than a trace lets pass what
    the fleet's would while nothing of it is used, and owes the next seconds what was too much.
    """

    __slots__ = ("_as_collector", "_order", "_rates", "_second", "_used", "sub_policies")

    def __init__(
        self,
        name: str,
        spans_per_second: int,
        sub_policies: Sequence[tuple[Policy, int]],
        *,
        order: Sequence[int] = (),
        as_collector: bool = False,
    ) -> None:
        super().__init__(name)
        self.sub_policies = tuple(policy for policy, _ in sub_policies)
        self._order = tuple(order) or tuple(range(len(self.sub_policies)))
        self._as_collector = as_collector
        # That of all together comes first. Used are spans times partitions: no share has a rest.
        self._rates = (spans_per_second, *(rate for _, rate in sub_policies))
        self._second = 0
        self._used = [0] * len(self._rates)

    def parts(self) -> Sequence[Policy]:
        """Return the sub-policies, as listed."""
        return self.sub_policies

    def ballot(self, trace: TraceSummary) -> tuple[Vote, str]:
        """Judge a trace by what the sub-policies say, when it was due, and what passed before."""
        self._begin(self.due_ms // SECOND_MS)
        votes = [NOT_ASKED] * len(self.sub_policies)
        decided = Vote.NOT_SAMPLED
        for place in self._order:
            vote, votes[place] = cast(self.sub_policies[place], trace)
            passes = vote is Vote.SAMPLED and self._passes(place + 1, trace.spans)
            if passes or vote is Vote.ERROR:
                decided = vote
                break
            if vote is Vote.SAMPLED and self._as_collector:
                break
        return decided, "".join(votes)

    @property
    def levels(self) -> tuple[int, ...]:
        """The second, and what has been used of it: by all, and by each sub-policy."""
        return self._second, *self._used

    def restore(self, levels: Sequence[int]) -> None:
        """Go on in that second."""
        self._second, *self._used = levels

    def _begin(self, second: int) -> None:
        passed = second - self._second
        if passed <= 0:
            return
        self._second = second
        # What is left was let pass beyond a share.
        self._used = [
            max(0, used - passed * rate) for used, rate in zip(self._used, self._rates, strict=True)
        ]

    def _passes(self, place: int, spans: int) -> bool:
        used, rates, cost = self._used, self._rates, spans * self.fleet.partitions
        by_all = used[place if self._as_collector else 0]
        for before, rate in ((used[place], rates[place]), (by_all, rates[0])):
            if before + cost > rate and not (before == 0 and spans <= rate):
                return False
        for at in (0, place):
            used[at] = min(LEVEL_MAX, used[at] + cost)
        return True
