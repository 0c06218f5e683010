"""Partitions that the group has given to nobody: a member joins anew, to have them divided.

The classic protocol moves a partition in two steps: its owner gives it up, then asks for another
round, in which somebody gets it. A static member that dies between the two is back with what it was
given in the first one, without any round (KIP-345), and nobody asks for the second: the group is
stable, and the partition nobody's, until something else makes it rebalance. Seen on Kafka 4.4;
`tests/integration/test_unclaimed.py` shows it.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from stream import logs
from stream.kafka.errors import KafkaException

ASK_AGAIN_S = 10.0
"""Every answer is worth this long, also none: while the brokers have trouble, all workers ask."""

log = logs.logger("tailstream.host")


class Members(Protocol):
    """Where the group's members are asked for: `stream.kafka.group_members`. May block."""

    def assigned(self) -> Mapping[str, Collection[int]] | None:
        """Return each member's partitions, None while the group rebalances."""


class Unclaimed:
    """Looks whether partitions that stand still are anybody's, and joins anew where they are not.

    `standing` are partitions whose position stands still, at each look, None while the broker does
    not say; `divided_s` is when the group last told us of a division. They may stand still for
    `patience_s` after it, for whoever gives up a partition finishes its work first. The member with
    the fewest partitions joins anew, because it gives up least; where that does not help, the one
    with the next fewest, as long after, and so on: never all at once.
    """

    def __init__(
        self,
        members: Members,
        *,
        standing: Callable[[], Collection[int] | None],
        member_id: Callable[[], str | None],
        divided_s: Callable[[], float],
        rejoin: Callable[[], None],
        now_s: Callable[[], float],
        patience_s: float,
    ) -> None:
        self._members = members
        self._standing = standing
        self._member_id = member_id
        self._divided_s = divided_s
        self._rejoin = rejoin
        self._now_s = now_s
        self._patience_s = patience_s
        self._since_s: dict[int, float] = {}
        self._ask_at_s = -math.inf
        # A thread of its own: nothing else must wait where the group's coordinator is away.
        self._asking = ThreadPoolExecutor(1, "tailstream-unclaimed")
        self._closed = False

    async def look(self) -> None:
        """Look once. Where the broker does not answer, a later look asks again."""
        now_s, standing = self._now_s(), self._standing()
        if standing is None:
            return
        # A division is a new beginning: what it took from its owner is nobody's for a while.
        divided_s = self._divided_s()
        self._since_s = {
            number: max(divided_s, self._since_s.get(number, now_s)) for number in standing
        }
        due = self._standing_for(self._patience_s, now_s)
        if not due or self._closed or now_s < self._ask_at_s:
            return
        self._ask_at_s = now_s + ASK_AGAIN_S
        try:
            loop = asyncio.get_running_loop()
            assigned = await loop.run_in_executor(self._asking, self._members.assigned)
        except KafkaException as problem:
            log.debug("members of the group not known", error=str(problem.args[0]))
            return
        if assigned is not None and divided_s == self._divided_s():
            self._judge(assigned, due, now_s)

    def close(self) -> None:
        """Ask no more; a look under way ends first, within seconds."""
        self._closed = True
        self._asking.shutdown()

    def _judge(
        self, assigned: Mapping[str, Collection[int]], due: Collection[int], now_s: float
    ) -> None:
        unclaimed = sorted(set(due).difference(*assigned.values()))
        for number in set(due).difference(unclaimed):
            # Somebody has it, and restores it or hangs.
            del self._since_s[number]
        member_id = self._member_id()
        # Who is not among them is out of the group, and will hear of it.
        if not unclaimed or member_id is None or member_id not in assigned:
            return
        order = sorted(assigned, key=lambda member: (len(assigned[member]), member))
        turn_s = (1 + order.index(member_id)) * self._patience_s
        if self._standing_for(turn_s, now_s):
            log.warning(
                "the group has given partitions to nobody: joining anew", partitions=unclaimed
            )
            self._since_s.clear()
            self._rejoin()

    def _standing_for(self, least_s: float, now_s: float) -> list[int]:
        return [number for number, since_s in self._since_s.items() if now_s - since_s >= least_s]
