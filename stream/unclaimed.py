"""Partitions that the group has given to nobody: a member joins anew, to have them divided.

The classic protocol moves a partition in two steps: its owner gives it up, then asks for another
round, in which somebody gets it. A static member that dies between the two is back with what it was
given in the first one, without any round (KIP-345), and nobody asks for the second: the group is
stable, and the partition nobody's, until something else makes it rebalance. Seen on Kafka 4.4;
`tests/integration/test_unclaimed.py` shows it.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from stream import logs
from stream.kafka.errors import KafkaException

log = logs.logger("tailstream.host")


class Members(Protocol):
    """Where the group's members are asked for: `stream.kafka.group_members`. May block."""

    def assigned(self) -> Mapping[str, Collection[int]] | None:
        """Return each member's partitions, None while the group rebalances."""

    def close(self) -> None:
        """Leave the broker."""


class Unclaimed:
    """Looks whether partitions that stand still are anybody's, and joins anew where they are not.

    `standing` are partitions whose position stands still, at each look; `patience_s` is how long
    they may, for whoever gives up a partition finishes its work first. The member with the fewest
    partitions joins anew, because it gives up least; where that did not help, the others, too.
    """

    def __init__(
        self,
        members: Members,
        *,
        standing: Callable[[], Collection[int]],
        member_id: Callable[[], str | None],
        rejoin: Callable[[], None],
        now_s: Callable[[], float],
        patience_s: float,
    ) -> None:
        self._members = members
        self._standing = standing
        self._member_id = member_id
        self._rejoin = rejoin
        self._now_s = now_s
        self._patience_s = patience_s
        self._since_s: dict[int, float] = {}
        # A thread of its own: nothing else must wait where the group's coordinator is away.
        self._asking = ThreadPoolExecutor(1, "tailstream-unclaimed")
        self._closed = False

    async def look(self) -> None:
        """Look once. Where the broker does not answer, the next look asks again."""
        now_s = self._now_s()
        self._since_s = {number: self._since_s.get(number, now_s) for number in [*self._standing()]}
        due = self._standing_for(self._patience_s, now_s)
        if not due or self._closed:
            return
        try:
            loop = asyncio.get_running_loop()
            assigned = await loop.run_in_executor(self._asking, self._members.assigned)
        except KafkaException as problem:
            log.debug("members of the group not known", error=str(problem.args[0]))
            return
        if assigned is not None:
            self._judge(assigned, due, now_s)

    def close(self) -> None:
        """Leave the broker; a look under way ends first, within a second or two."""
        self._closed = True
        self._asking.submit(self._members.close)
        self._asking.shutdown()

    def _judge(
        self, assigned: Mapping[str, Collection[int]], due: Collection[int], now_s: float
    ) -> None:
        unclaimed = sorted(set(due).difference(*assigned.values()))
        for number in set(due).difference(unclaimed):
            # Somebody has it, and restores it or hangs.
            del self._since_s[number]
        first = min(assigned, key=lambda member: (len(assigned[member]), member), default=None)
        if not unclaimed:
            return
        helped_s = 2 * self._patience_s
        if first == self._member_id() or self._standing_for(helped_s, now_s):
            log.warning(
                "the group has given partitions to nobody: joining anew", partitions=unclaimed
            )
            self._since_s.clear()
            self._rejoin()

    def _standing_for(self, least_s: float, now_s: float) -> list[int]:
        return [number for number, since_s in self._since_s.items() if now_s - since_s >= least_s]
