"""The host: drives the worker's protocol on Faust's loop, with the real clients.

Three threads. The poll thread alone uses the consumer; the loop owns all state; the transaction
thread alone blocks on the producer. Restores and questions about the log have threads of their own,
on clients of their own. Whatever ends in doubt ends the process: its state is in Kafka.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from stream import clock, logs
from stream.exits import Exit, end_process
from stream.failures import PointerRefusedError, end_for
from stream.kafka.errors import KafkaException, is_bad_compression, is_passing
from stream.kafka.log_reader import LogReader
from stream.kafka.log_state import Identity
from stream.kafka.poll_thread import PollThread
from stream.kafka.receive import Batch, Receiver
from stream.kafka.routing import Routing
from stream.kafka.transactions import (
    AbortedError,
    Committer,
    FencedError,
    RefusedError,
    UnknownOutcomeError,
)
from stream.measurements import Measurements
from stream.ownership import Ownership
from stream.restoring import Opened, OpenLog, Restoring
from stream.slot import Slot
from stream.standstill import Standstill
from stream.worker.transaction import Bounds
from stream.worker.worker import Worker

UNPACK_REMEDY = (
    "set kafka.receive.message.max.bytes above its unpacked size (the default is 100 MB); a topic "
    "with compression.type=uncompressed refuses such batches"
)
TELL_EVERY_S = 60.0
LAST_TRANSACTIONS_MAX = 3
SCRAPE_WAIT_S = 1.0

log = logs.logger("tailstream.host")


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What the host needs of the configuration. Times in seconds.

    `slot` takes note of a fence before the process ends. `transaction_bytes_max` bounds the bodies
    in one transaction. `find_poison` returns the offsets of the topic with this id that must not be
    scanned, by partition.
    """

    consumer: dict[str, Any]
    partitioner: str
    initial_offset: str
    watchdog_s: float
    slot: Slot
    transaction_bytes_max: int
    find_poison: Callable[[str], Mapping[int, frozenset[int]]]


class Host:
    """Assignments, restores, transactions and the wall clock of one worker process."""

    def __init__(
        self,
        settings: HostSettings,
        *,
        receiver: Receiver,
        committer: Committer,
        reader: LogReader,
        open_log: OpenLog,
        measurements: Measurements,
        open_partition: Callable[[int, Identity], Opened],
        close_stores: Callable[[], None],
    ) -> None:
        self.consumer_settings = settings.consumer
        self.receiver = receiver
        self.worker = Worker(Bounds(bytes_max=settings.transaction_bytes_max))
        self.thread: PollThread | None = None
        self.pending: Callable[[int], bool] = lambda _: False
        self.released: Callable[[Batch], None] = lambda _: None
        self.identity = Identity("", "")
        self._settings = settings
        self._committer = committer
        self._reader = reader
        self._measurements = measurements
        self._close_stores = close_stores
        self._epochs: dict[int, int] = {}
        self._restoring = Restoring(
            self.worker,
            measurements=measurements,
            open_log=open_log,
            open_partition=open_partition,
            initial_offset=settings.initial_offset,
            ours=lambda number, epoch: self._epochs.get(number) == epoch,
            before=self._count_partitions,
            start=self._start_partition,
            caught_up=self._read_on,
            failed=self.failed,
        )
        self.ownership = Ownership()
        self._recount = False
        self._ends: dict[int, int] = {}
        self._heard_s: dict[int, float] = {}
        self._waiting: set[int] = set()
        self._told_s = clock.monotonic_s()
        self._standstill = Standstill(
            lambda numbers: self._end_offsets(numbers, self._reader.stable_ends)
        )
        self._routing = Routing(settings.partitioner, self._told_s)
        self._lock = asyncio.Lock()
        self._leaving = asyncio.Lock()
        self._transactions = ThreadPoolExecutor(1, "tailstream-transactions")
        self._reading = ThreadPoolExecutor(1, "tailstream-reading")

    # Life cycle

    async def start(self) -> None:
        """Fence predecessors before any offset is read."""
        self.identity = await self._run(self._reading, self._reader.identity)
        self.receiver.partitions = await self._run(self._reading, self._reader.partitions)
        find_poison = self._settings.find_poison
        self.receiver.poison = await self._run(self._reading, find_poison, self.identity.topic_id)
        await self._run(self._transactions, self._committer.start)
        # The start's objects live for ever: the collector would walk them for nothing.
        gc.collect()
        gc.freeze()
        gc.set_threshold(200_000, 50, 50)

    def failed(self, problem: BaseException) -> None:
        """End the process: what was under way is replayed from Kafka."""
        end_for(problem, self._settings.slot)

    def stopped(self) -> None:
        """The consumer has left the group: release what is left."""
        self._reader.close()
        self._close_stores()

    def warned(self, error: Any) -> None:
        """Say what librdkafka will get over by itself."""
        if is_bad_compression(error):
            # The partition stands still until then: the client asks for the same batch again.
            log.error("a batch cannot be unpacked", error=error.str(), remedy=UNPACK_REMEDY)
            return
        log.warning("kafka", error=str(error))

    @property
    def ready(self) -> bool:
        """Return whether the group has said what is ours, and all of that is being read."""
        reading = self.thread is not None and self.thread.is_alive()
        settled = self.ownership.settled(clock.monotonic_s())
        return settled and reading and self._restoring.ready

    # Records

    def fold(self, batch: Batch) -> None:
        """Fold a poll's records, unless their partition was taken away meanwhile."""
        if self._epochs.get(batch.partition) != batch.epoch:
            self.released(batch)
            return
        waits = True

        def folded() -> None:
            nonlocal waits
            waits = False
            self.released(batch)

        self.worker.fold(
            batch.partition,
            batch.records,
            wall_ms=None if batch.log_append_time else clock.now_ms(),
            folded=folded,
        )
        if waits:
            self._wait(batch.partition, batch.epoch)
        if batch.keys:
            self._measurements.keys(batch.keys)
        self._routing.saw(batch)

    # Assignments

    def assigned(self, epochs: dict[int, int]) -> None:
        """Restore the partitions in the background; each is read from when it is ready."""
        self.ownership.assigned(len(epochs), clock.monotonic_s())
        # Limits are spread over them. Who is given some counts them before it restores these.
        self._recount = self._recount or not epochs
        self._epochs.update(epochs)
        if epochs:
            log.info("assigned", partitions=sorted(epochs))
        for number, epoch in epochs.items():
            self._restoring.begin(number, epoch, self.identity)

    async def revoked(self, partitions: Collection[int]) -> None:
        """Finish their work: the running transaction, then a last one; then let go."""
        async with self._leaving:
            ours = self._forget(partitions)
            if not ours:
                return
            async with self._lock:
                for _ in range(LAST_TRANSACTIONS_MAX):
                    if not await self._transaction(only=ours):
                        break
                self._drop(ours, "revoked")
            await self._restoring.end(ours)

    async def lost(self, partitions: Collection[int]) -> None:
        """They are somebody else's: commit nothing. A transaction under way is fenced."""
        async with self._leaving:
            ours = self._forget(partitions)
            self.ownership.lost(left=len(self._epochs))
            self._drop(ours, "lost")
            await self._restoring.end(ours)
            async with self._lock:
                pass

    def _forget(self, partitions: Collection[int]) -> list[int]:
        return [number for number in partitions if self._epochs.pop(number, None) is not None]

    def _drop(self, numbers: Iterable[int], how: str) -> None:
        for number in numbers:
            partition = self.worker.partitions.get(number)
            released = self.worker.drop([number])
            self._ends.pop(number, None)
            self._heard_s.pop(number, None)
            self._waiting.discard(number)
            accounts = partition.sampler.accounts if partition else None
            self._measurements.revoked(number, accounts)
            log.info(how, partition=number, released_spans=released)

    def _start_partition(self, number: int, epoch: int, offset: int) -> None:
        assert self.thread is not None
        self.thread.start_partition(number, epoch, offset)

    def _wait(self, number: int, epoch: int) -> None:
        """Read no more of a partition that cannot be folded yet: it would fill all our inbox."""
        if number not in self._waiting:
            assert self.thread is not None
            self._waiting.add(number)
            self.thread.wait(number, epoch, waits=True)

    def _read_on(self, number: int, epoch: int) -> None:
        if number in self._waiting:
            assert self.thread is not None
            self._waiting.remove(number)
            self.thread.wait(number, epoch, waits=False)

    async def _count_partitions(self) -> None:
        try:
            self.receiver.partitions = await self._run(self._reading, self._reader.partitions)
        except KafkaException as problem:
            if not is_passing(problem.args[0]):
                raise
            log.warning("partitions not counted", error=problem.args[0].str())

    # Transactions

    async def commit(self) -> None:
        """Deliver what was cut, and commit. Skipped while a transaction is under way."""
        if self._lock.locked():
            return
        async with self._lock:
            # A revocation that waits goes first; what is left over is delivered with it.
            while await self._transaction() and self.worker.more and not self._leaving.locked():
                pass

    async def _transaction(self, only: Collection[int] | None = None) -> bool:
        """Run one transaction; False if there was nothing to say, or it was aborted."""
        # Before the plan: never newer than the ownership that it vouches for.
        group_metadata = await self._group_metadata()
        transaction = self.worker.plan(only)
        if transaction is None:
            return False
        started_s = clock.monotonic_s()
        commit = self._run(
            self._transactions, self._committer.commit, transaction.plans, group_metadata
        )
        try:
            receipt = await asyncio.wait_for(commit, self._settings.watchdog_s)
        except AbortedError as problem:
            if self.worker.aborted(message_fault=problem.message_fault):
                end_for(PointerRefusedError(str(problem)), self._settings.slot)
            self._measurements.aborted(clock.monotonic_s() - started_s)
            log.warning("transaction aborted", reason=str(problem))
            return False
        except TimeoutError:
            watchdog_s = self._settings.watchdog_s
            step = self._committer.doing
            end_process(Exit.WATCHDOG, f"no end of a transaction in {watchdog_s:g} s: {step}")
        except (FencedError, RefusedError, UnknownOutcomeError) as problem:
            end_for(problem, self._settings.slot)
        committed = self.worker.committed(receipt)
        self._measurements.committed(committed, receipt.seconds, clock.now_ms())
        return True

    async def _group_metadata(self) -> Any:
        """Return what fences the transaction.

        In a classic group as the last rebalance callback took it; KIP-848's epoch moves without a
        callback, so there it is asked for anew.
        """
        if self.thread is None:
            return None
        if self._settings.consumer.get("group.protocol") != "consumer":
            return self.thread.group_metadata
        return await asyncio.wrap_future(
            self.thread.request(lambda consumer: consumer.consumer_group_metadata())
        )

    # The wall clock

    async def idle(self) -> None:
        """Let the wall clock cut on partitions whose end the broker itself confirms.

        The wall is read first, then the end is asked for, then the position: if they agree and
        nothing waits to be folded, all that came before `wall_ms` has been. No answer: no cut.
        """
        if self.thread is None:
            return
        wall_ms = clock.now_ms()
        # A partition that is being revoked is out: its polled records will not be folded any more.
        numbers = [n for n in self._epochs if self._may_idle(n, wall_ms)]
        if not numbers:
            return
        ends = await self._end_offsets(numbers)
        positions = await asyncio.wrap_future(self.thread.positions(list(ends)))
        for number, end in ends.items():
            partition = self.worker.partitions.get(number)
            if partition is None or number not in self._epochs or self.pending(number):
                continue
            if partition.catching_up:
                continue
            position = positions.get(number, partition.sampler.position)
            if max(position, partition.sampler.position) == end:
                partition.sampler.idle(wall_ms=wall_ms, position=end)

    async def measure(self) -> None:
        """Set the gauges, and say what there is to say."""
        if self._recount:
            self._recount = False
            await self._count_partitions()
        await self._know_ends(list(self.worker.partitions))
        self._set_gauges()
        held = await self._standstill.look(self.worker.partitions, self._ends)
        self._measurements.held_by_transaction(held)
        self._restoring.tell_replays()
        advice = self._routing.advice(clock.monotonic_s(), self.receiver.partitions)
        if advice is not None:
            log.warning(advice)
        if clock.monotonic_s() >= self._told_s + TELL_EVERY_S:
            self._told_s = clock.monotonic_s()
            log.info("so far", **self._measurements.summary())

    async def scraped(self) -> None:
        """Set the gauges to what the counters are of; the next step of the loop may change both."""
        unknown = [number for number in self.worker.partitions if number not in self._ends]
        if unknown:
            # A broker that does not answer costs the lag alone.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._know_ends(unknown), SCRAPE_WAIT_S)
        self._set_gauges()

    def _set_gauges(self) -> None:
        ready, now_s = self.worker.partitions, clock.monotonic_s()
        unheard_s = {number: now_s - said_s for number, said_s in self._heard_s.items()}
        self._measurements.partitions(ready.values(), self._ends, clock.now_ms(), unheard_s)
        restoring, of = len(self._epochs.keys() - ready.keys()), self.receiver.partitions
        self._measurements.assigned(restoring=restoring, ready=len(ready), of=of)

    async def _know_ends(self, numbers: list[int]) -> None:
        ends = await self._end_offsets(numbers)
        self._ends |= (known := {n: e for n, e in ends.items() if n in self.worker.partitions})
        self._heard_s |= dict.fromkeys(known, clock.monotonic_s())

    def _may_idle(self, number: int, wall_ms: int) -> bool:
        partition = self.worker.partitions.get(number)
        if partition is None or partition.catching_up or self.pending(number):
            return False
        sampler = partition.sampler
        return sampler.due_by(wall_ms) or self._ends.get(number, 0) > sampler.position

    async def _end_offsets(
        self, numbers: Sequence[int], ask: Callable[..., Any] | None = None
    ) -> dict[int, int]:
        try:
            ends: dict[int, int] = await self._run(self._reading, ask or self._reader.ends, numbers)
        except KafkaException as problem:
            log.debug("no end of the log", error=str(problem.args[0]))
            return {}
        return ends

    async def _run(self, pool: ThreadPoolExecutor, act: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, act, *args)
