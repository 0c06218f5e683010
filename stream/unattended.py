"""Partitions that nobody reads: their lag, told by workers that have others.

A worker tells the lag of what it reads. Who was killed tells nothing, and its partitions would be
missing from every sum until somebody else has restored them: lag would seem to fall while it grows.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from stream import logs
from stream.kafka.errors import KafkaException
from stream.worker.hints import Times, decode_times

log = logs.logger("tailstream.host")

Told = TypeVar("Told")


class Positions(Protocol):
    """Where positions and ends are asked for: `stream.kafka.position_reader`. May block."""

    def committed(self, numbers: Collection[int]) -> dict[int, tuple[int, str | None]]:
        """Return the position committed last and its metadata, of partitions that have one."""

    def ends(self, numbers: Collection[int]) -> dict[int, int]:
        """Return the ends of the logs, as far as they are known."""

    def close(self) -> None:
        """Leave the broker."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Records of a partition that wait, and the times committed beside its position, if known."""

    records: int
    times: Times | None


class Unattended:
    """Tells what waits in partitions whose position stands still.

    `numbers` are the partitions that this worker does not read, at each look. Records wait at a
    position, and at the next look it has not moved: nobody reads that partition, or whoever has it
    hangs. Looks must be farther apart than a worker's commits: what came to an idle partition a
    moment ago is read, and not yet committed. `standing` are those that were told last, and those
    with records of which no position was ever committed: how many wait there is not known. It is
    None while the broker does not answer.
    """

    def __init__(
        self,
        positions: Positions,
        *,
        numbers: Callable[[], Collection[int]],
        tell: Callable[[Mapping[int, Waiting]], None],
    ) -> None:
        self._positions = positions
        self._numbers = numbers
        self._tell = tell
        self._before: Mapping[int, tuple[int, str | None]] = {}
        self._waited: Collection[int] = ()
        self._never_read: Collection[int] = ()
        self.standing: Collection[int] | None = ()
        # A thread of its own: nothing else must wait where the group's coordinator is away.
        self._asking = ThreadPoolExecutor(1, "tailstream-unattended")
        self._closed = False

    async def look(self) -> None:
        """Look once. Where the broker does not answer, what was told last stands."""
        try:
            waiting = await self._waiting([*self._numbers()])
        except KafkaException as problem:
            log.debug("positions of others not known", error=str(problem.args[0]))
            self.standing = None
            return
        # Some may have become ours meanwhile.
        others = {*self._numbers()}
        told = {number: found for number, found in waiting.items() if number in others}
        self.standing = told.keys() | (others & {*self._never_read})
        self._tell(told)

    def close(self) -> None:
        """Leave the broker; a look under way ends first, within a second or two."""
        self._closed = True
        self._asking.submit(self._positions.close)
        self._asking.shutdown()

    async def _waiting(self, numbers: Collection[int]) -> dict[int, Waiting]:
        if not numbers or self._closed:
            self._before, self._waited, self._never_read = {}, (), ()
            return {}
        # Kept until all has been answered: one look that fails does not make them move.
        before, waited = self._before, self._waited
        found = await self._ask(self._positions.committed, numbers)
        still = [number for number, told in found.items() if before.get(number) == told]
        asked = [*still, *(number for number in numbers if number not in found)]
        ends = await self._ask(self._positions.ends, asked) if asked and not self._closed else {}
        self._before = found
        self._waited = [number for number in still if ends.get(number, 0) > found[number][0]]
        self._never_read = [n for n in asked if n not in found and ends.get(n, 0) > 0]
        return {
            number: Waiting(ends[number] - found[number][0], decode_times(found[number][1]))
            for number in self._waited
            if number in waited
        }

    def _ask(
        self, act: Callable[[Collection[int]], Told], numbers: Collection[int]
    ) -> "asyncio.Future[Told]":
        return asyncio.get_running_loop().run_in_executor(self._asking, act, numbers)
