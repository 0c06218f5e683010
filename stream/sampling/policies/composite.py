"""`type: composite`: shares a rate of spans among sub-policies."""

from collections.abc import Sequence

from stream.sampling.decision import Vote
from stream.sampling.policies.limit import LEVEL_MAX, Limit
from stream.sampling.policies.policy import Policy, TraceSummary

SECOND_MS = 1_000


class Composite(Limit):
    """Votes sampled where a sub-policy does, and that one's spans of this second leave room.

    They are asked in the order of `sub_policies`, each with its rate in spans a second. Where one
    that votes sampled has no room, the next one is asked, so what is left goes to those behind, and
    all together stay below `spans_per_second`. With `as_collector` that one's word is the last and
    only its own spans count, as in contrib, internal/sampling/composite.go.

    Seconds are whole ones of partition time. A share that is smaller than a trace lets pass what
    the fleet's would while nothing of it is used, and owes the next seconds what was too much.
    """

    __slots__ = ("_as_collector", "_rates", "_second", "_used", "sub_policies")

    def __init__(
        self,
        name: str,
        spans_per_second: int,
        sub_policies: Sequence[tuple[Policy, int]],
        *,
        as_collector: bool = False,
    ) -> None:
        super().__init__(name)
        self.sub_policies = tuple(policy for policy, _ in sub_policies)
        self._as_collector = as_collector
        # That of all together comes first. Used are spans times partitions: no share has a rest.
        self._rates = (spans_per_second, *(rate for _, rate in sub_policies))
        self._second = 0
        self._used = [0] * len(self._rates)

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by what the sub-policies say, when it was due, and what passed before."""
        self._begin(self.due_ms // SECOND_MS)
        for place, policy in enumerate(self.sub_policies, start=1):
            vote = policy.vote(trace)
            if vote is Vote.ERROR:
                return vote
            if vote is Vote.SAMPLED:
                if self._passes(place, trace.spans):
                    return Vote.SAMPLED
                if self._as_collector:
                    break
        return Vote.NOT_SAMPLED

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
