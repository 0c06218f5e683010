"""Brings the partitions that were just assigned to where they can be read, and then to know all.

Two phases each, as `stream/worker/restore.py` says; the replay of the input follows the first. All
that waits runs on threads of its own, all that changes state in short steps on the loop.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from stream import clock, logs
from stream.kafka.log_state import Identity, LogState
from stream.kafka.partition_log import PartitionLog
from stream.measurements import Measurements
from stream.sampling.stores import DecisionStore, KnownDecision
from stream.worker.partition import Partition
from stream.worker.restore import Restore, ResumePoint, resume_point
from stream.worker.worker import Worker

RESTORES_MAX = 4
LOGS_MAX = 8
"""Of each phase, so many partitions are restored at a time: each has clients of its own, which take
a megabyte and a dozen threads."""
RETRY_WAIT_S = 1.0
TELL_EVERY_S = 5.0
STALLED_AFTER_S = 30.0
"""An end of a dead worker's transaction comes sooner: its successor aborts it, or its timeout."""
STALLED_REMEDY = (
    "a transaction on the decisions topic stays open, and nothing behind it can be read: "
    "`kafka-transactions.sh find-hanging` names it, its `abort` ends it"
)

WAITS_REMEDY = (
    "if the brokers are well, a dead worker's transaction holds the group's offsets open: "
    "`kafka-transactions.sh find-hanging` names it; else restart the group's coordinator"
)

log = logs.logger("tailstream.restore")

Known = list[tuple[bytes, KnownDecision]]
Run = list[tuple[int, bytes]]
OpenLog = Callable[[int, Callable[[], bool]], PartitionLog]
"""Opens the logs of a partition for a restore that goes on while the second argument says so."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A partition's stores, and how to build the partition once its first phase is done."""

    decisions: DecisionStore
    build: Callable[[ResumePoint, Restore], Partition]


@dataclass(frozen=True, slots=True)
class Restored:
    """A partition whose first phase is done."""

    point: ResumePoint
    restore: Restore
    partition: Partition


class Progress:
    """What a restore or a replay has done of what there is to do: a log line every few seconds."""

    def __init__(self, what: str, number: int, total: int, *, remedy: str = "") -> None:
        self._what = what
        self._remedy = remedy
        self._number = number
        self._total = self.records = total
        self._began_s = self._told_s = self._moved_s = clock.monotonic_s()

    def remaining(self, records: int) -> None:
        """Tell how many records remain, if that was not told lately, and of a standstill."""
        now_s = clock.monotonic_s()
        if records < self.records:
            self.records = records
            self._moved_s = now_s
        if now_s < self._told_s + TELL_EVERY_S:
            return
        self._told_s = now_s
        percent = 100 * (self._total - records) // self._total if self._total else 100
        said = {"partition": self._number, "remaining_records": records, "percent": percent}
        log.info(self._what, **said)
        if self._remedy and now_s > self._moved_s + STALLED_AFTER_S:
            log.error("restore stands still", partition=self._number, remedy=self._remedy)

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return clock.monotonic_s() - self._began_s


class Patience:
    """What a restore says that cannot begin: at once, every few seconds, at last as an error."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._began_s = clock.monotonic_s()
        self._told_s: float | None = None

    def waits(self, reason: str) -> None:
        """Tell what it waits for, if that was not told lately."""
        now_s = clock.monotonic_s()
        if self._told_s is not None and now_s < self._told_s + TELL_EVERY_S:
            return
        self._told_s = now_s
        if now_s > self._began_s + STALLED_AFTER_S:
            log.error("restore waits", partition=self._number, reason=reason, remedy=WAITS_REMEDY)
        else:
            log.info("restore waits", partition=self._number, reason=reason)


class Restoring:
    """The restores and replays under way.

    `ours` says whether a partition is still assigned with that epoch; a restore ends early where it
    is not. `before` runs first of all, `start` reads the input from an offset on, `caught_up` hears
    that nothing has to wait for older decisions any more, `failed` ends the process.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        measurements: Measurements,
        open_log: OpenLog,
        open_partition: Callable[[int, Identity], Opened],
        initial_offset: str,
        ours: Callable[[int, int], bool],
        before: Callable[[], Awaitable[None]],
        start: Callable[[int, int, int], None],
        caught_up: Callable[[int, int], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._worker = worker
        self._measurements = measurements
        self._open_log = open_log
        self._open = open_partition
        self._initial_offset = initial_offset
        self._ours = ours
        self._before = before
        self._start = start
        self._caught_up = caught_up
        self._failed = failed
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._unready: set[int] = set()
        self._replays: dict[int, tuple[Partition, Progress]] = {}
        self._first_phases = asyncio.Semaphore(LOGS_MAX)
        self._second_phases = asyncio.Semaphore(LOGS_MAX)
        self._queued: set[int] = set()
        self._threads = ThreadPoolExecutor(RESTORES_MAX, "tailstream-restore")

    @property
    def ready(self) -> bool:
        """Return whether every partition that is ours is being read."""
        return not self._unready

    def begin(self, number: int, epoch: int, identity: Identity) -> None:
        """Restore a partition in the background; it is read from when it is ready."""
        self._unready.add(number)
        restore = self._restore(number, epoch, identity)
        self._tasks[number] = asyncio.get_running_loop().create_task(restore)

    async def end(self, numbers: Iterable[int]) -> None:
        """Wait for these: their stores are closed next, so nothing may still be written to them."""
        ending = [number for number in numbers if number in self._tasks]
        for number in self._queued.intersection(ending):
            # It would wait for a place as long as others take, and the whole group with it.
            self._tasks[number].cancel()
        await asyncio.gather(*(self._tasks[n] for n in ending), return_exceptions=True)

    def tell_replays(self) -> None:
        """Say how far the replays have come."""
        for number, (partition, progress) in list(self._replays.items()):
            if self._worker.partitions.get(number) is not partition:
                del self._replays[number]
            elif partition.replay_remaining:
                progress.remaining(partition.replay_remaining)
            else:
                del self._replays[number]
                log.info("replayed", partition=number, seconds=round(progress.seconds, 1))

    async def _restore(self, number: int, epoch: int, identity: Identity) -> None:
        began_s = clock.monotonic_s()
        try:
            await self._before()
            restored = await self._until_ready(number, epoch, identity, began_s)
            if restored is not None and restored.point.older_records:
                async with self._place(self._second_phases, number):
                    with self._open_log(number, lambda: self._ours(number, epoch)) as partition_log:
                        await self._second_phase(number, epoch, restored, partition_log)
        except Exception as problem:  # noqa: BLE001 - a task of its own: nobody else would see it
            self._failed(problem)
        finally:
            if self._tasks.get(number) is asyncio.current_task():
                del self._tasks[number]
                self._unready.discard(number)

    async def _until_ready(
        self, number: int, epoch: int, identity: Identity, began_s: float
    ) -> Restored | None:
        """Return the partition, which is being read; None once it is not ours.

        One that waits for a foreign transaction leaves its place to others between its tries.
        """
        with ExitStack() as opened:
            partition_log: PartitionLog | None = None
            patience = Patience(number)
            while self._ours(number, epoch):
                async with self._place(self._first_phases, number):
                    if not self._ours(number, epoch):
                        break
                    if partition_log is None:
                        found = self._open_log(number, lambda: self._ours(number, epoch))
                        partition_log = opened.enter_context(found)
                    state = await self._run(partition_log.state)
                    if state is not None:
                        restored = await self._first_phase(
                            number, epoch, identity, partition_log, state
                        )
                        if restored is not None:
                            self._ready(number, epoch, restored, clock.monotonic_s() - began_s)
                        return restored
                patience.waits(partition_log.waits_for)
                await asyncio.sleep(RETRY_WAIT_S)
        return None

    @asynccontextmanager
    async def _place(self, places: asyncio.Semaphore, number: int) -> AsyncIterator[None]:
        self._queued.add(number)
        try:
            await places.acquire()
        finally:
            self._queued.discard(number)
        try:
            yield
        finally:
            places.release()

    async def _first_phase(
        self,
        number: int,
        epoch: int,
        identity: Identity,
        partition_log: PartitionLog,
        state: LogState,
    ) -> Restored | None:
        """Return a partition that may be read; None once it is not ours. In short steps."""
        if not self._ours(number, epoch):
            return None
        point = resume_point(state, identity=identity, initial_offset=self._initial_offset)
        opened = self._open(number, identity)
        restore = Restore(point, identity=identity, decisions=opened.decisions)
        first, end = point.first_phase_from, point.decisions_end
        runs = partition_log.decisions(first, end)
        progress = Progress("restoring, phase 1 of 2", number, end - first, remedy=STALLED_REMEDY)
        while (found := await self._run(_read, runs, restore.decoded)) is not None:
            at, known = found
            restore.put(known)
            progress.remaining(max(0, end - at) if at else progress.records)
            self._measurements.restoring(number, progress.records + point.older_records)
        if not self._ours(number, epoch):
            return None
        return Restored(point, restore, opened.build(point, restore))

    def _ready(self, number: int, epoch: int, restored: Restored, seconds: float) -> None:
        point, partition = restored.point, restored.partition
        partition.replay_upto = point.replay_upto
        self._worker.ready(partition, whole=not point.older_records)
        self._start(number, epoch, point.offset)
        self._unready.discard(number)
        self._measurements.restored(seconds)
        self._measurements.restoring(number, point.older_records)
        log.info(
            "ready",
            partition=number,
            resume_offset=point.offset,
            seconds=round(seconds, 3),
            older_decisions=point.older_records,
            replay_records=partition.replay_remaining,
        )
        if not point.older_records:
            self._say_odd(number, restored)
        if partition.replay_remaining:
            progress = Progress("replaying", number, partition.replay_remaining)
            self._replays[number] = partition, progress

    async def _second_phase(
        self, number: int, epoch: int, restored: Restored, partition_log: PartitionLog
    ) -> None:
        point, restore, partition = restored.point, restored.restore, restored.partition
        first, end = point.decisions_from, point.first_phase_from
        runs = partition_log.decisions(first, end)
        progress = Progress("restoring, phase 2 of 2", number, end - first, remedy=STALLED_REMEDY)
        while (found := await self._run(_read, runs, restore.read_older)) is not None:
            if not self._ours(number, epoch):
                return
            at, known = found
            partition.learn(known)
            progress.remaining(max(0, end - at) if at else progress.records)
            self._measurements.restoring(number, progress.records)
        if not self._ours(number, epoch):
            return
        partition.whole(restore.older_log, list(restore.older_pins.items()))
        self._measurements.restoring(number, 0)
        seconds = round(progress.seconds, 3)
        log.info("knows all decisions", partition=number, decisions=end - first, seconds=seconds)
        self._say_odd(number, restored)
        while self._ours(number, epoch) and partition.catch_up():  # noqa: ASYNC110 - no waiting
            await asyncio.sleep(0)  # others have the loop in between
        if self._ours(number, epoch):
            self._caught_up(number, epoch)

    def _say_odd(self, number: int, restored: Restored) -> None:
        point = restored.point
        odd = {
            "lost_to_retention": point.lost,
            "decisions_missing": point.decisions_missing,
            "decisions_unreadable": restored.restore.unreadable,
        }
        odd = {kind: count for kind, count in odd.items() if count}
        if odd:
            self._measurements.keys(odd)
            log.error("odd restore", partition=number, **odd)
        if foreign := restored.restore.foreign:
            # Groups may share the topic: nothing is wrong.
            self._measurements.keys({"decisions_foreign": foreign})
            log.info("passed by decisions of others", partition=number, decisions=foreign)

    async def _run(self, act: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, act, *args)


def _read(runs: Iterator[Run], decode: Callable[[Run], Known]) -> tuple[int, Known] | None:
    """Take a step of a phase; return where it stands (0: no news) and what it found, None if done.

    Its effect on the partition and its stores is left to the loop, whose they are.
    """
    run = next(runs, None)
    if run is None:
        return None
    return (run[-1][0] + 1 if run else 0), decode(run)
