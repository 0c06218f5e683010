"""From the output topic to the backend: reads, keeps requests under way, commits, ends.

All state lives on one event loop. The Kafka clients have a thread each, the only user of each.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from stream import clock, logs
from stream.export.backend import Backend, BackendSettings, shown
from stream.export.backoff import chance_of
from stream.export.delivery import Delivery, ExportCounts, Limits
from stream.export.measured import Measured
from stream.export.waiting import Held, Waiting, closed
from stream.kafka.dead_letters import dead_letter
from stream.kafka.group_reader import GroupReader, GroupRecord
from stream.kafka.record_producer import RecordProducer
from stream.kafka.topics import ClusterError
from stream.metrics import Metrics

READ_RECORDS_MAX: Final = 1_000
READ_WAIT_S: Final = 0.1
COMMIT_INTERVAL_S: Final = 0.5
HELD_BYTES_MIN: Final = 32 * 1024 * 1024
GIVE_UP_WAIT_S: Final = 2.0
"""How long requests under way may take when partitions are given up, or at the end."""

T = TypeVar("T")

log = logs.logger("tailstream")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """From where to where, and how much at once. Sizes in bytes; `retry_for_s` 0: for ever."""

    source: str
    dead_letters: str
    dead_letter_bytes_max: int
    initial_offset: str
    instance_id: str
    request_bytes_max: int
    requests_max: int
    retry_for_s: float


class Exporter:
    """Exports one topic as a member of a group. `run` it once.

    `consumer` are `client_settings.consumer_settings`; `producer` writes the dead letters.
    `turned_s` is when it last turned, by the monotonic clock.
    """

    def __init__(
        self,
        plan: ExportPlan,
        backend: BackendSettings,
        consumer: Mapping[str, Any],
        producer: RecordProducer,
        metrics: Metrics,
    ) -> None:
        self.turned_s = clock.monotonic_s()
        self._plan = plan
        self._backend = Backend(backend)
        self._delivery = Delivery(
            self._backend,
            url=shown(backend.url),
            limits=Limits(request_bytes_max=plan.request_bytes_max, retry_for_s=plan.retry_for_s),
            bury=self._bury,
            sleep=asyncio.sleep,
            chance=chance_of(plan.instance_id, clock.now_s),
        )
        self._consumer_settings = consumer
        self._producer = producer
        self._measured = Measured(metrics)
        self._reader: GroupReader | None = None
        self._held_bytes_max = max(HELD_BYTES_MIN, 2 * plan.requests_max * plan.request_bytes_max)
        self._waiting = Waiting()
        self._requests: set[asyncio.Task[None]] = set()
        self._problem: BaseException | None = None
        self._ending = False
        self._paused = False
        self._committed_s = clock.monotonic_s()
        self._reading = ThreadPoolExecutor(1, "tailstream-reader")
        self._burying = ThreadPoolExecutor(1, "tailstream-dead-letters")

    @property
    def counts(self) -> ExportCounts:
        """What became of the records so far."""
        return self._delivery.counts

    @property
    def joined(self) -> bool:
        """Whether the group has given us our partitions, be it none."""
        return self._reader is not None and self._reader.joined

    async def run(self, stopping: Callable[[], bool], tell: Callable[[ExportCounts], None]) -> None:
        """Work until told to stop; then commit what was acknowledged, and leave the group.

        Raises:
            ClusterError, NotForUsError: somebody has to grant or mend something first.
            GaveUpError: the backend was away for too long.
            KafkaException: a client cannot go on. What is not committed will be read again.
        """
        self._loop = asyncio.get_running_loop()
        async with self._backend:
            self._reader = reader = await self._in(self._reading, self._join)
            self._start(self._delivery.greet())
            try:
                while not stopping():
                    await self._turn(reader)
                    tell(self.counts)
            finally:
                await self._end(reader)

    def _join(self) -> GroupReader:
        return GroupReader(
            self._consumer_settings,
            self._plan.source,
            initial_offset=self._plan.initial_offset,
            revoked=self._revoked,
            lost=self._lost,
        )

    async def _turn(self, reader: GroupReader) -> None:
        self._pause_or_go_on()
        for record in await self._in(self._reading, partial(_read, reader, paused=self._paused)):
            self._waiting.add(record)
        self._launch()
        self.counts.lost_to_retention = reader.lost_to_retention
        self.turned_s = clock.monotonic_s()
        if self.turned_s - self._committed_s >= COMMIT_INTERVAL_S:
            self._committed_s = self.turned_s
            await self._commit(reader)
            await self._measure(reader)
        if self._problem is not None:
            raise self._problem

    def _pause_or_go_on(self) -> None:
        limit = self._held_bytes_max // 2 if self._paused else self._held_bytes_max
        full = self._waiting.held_bytes > limit
        if full and not self._paused:
            self._measured.full()
        self._paused = full

    async def _commit(self, reader: GroupReader) -> None:
        # Also where none has moved: what follows the last record may have.
        offsets = self._waiting.to_commit()
        done: bool = await self._in(self._reading, partial(reader.commit, offsets))
        if done:
            self._waiting.committed(offsets)

    async def _measure(self, reader: GroupReader) -> None:
        self._measured.counts(self.counts, held_bytes=self._waiting.held_bytes)
        oldest = self._waiting.oldest()
        self._measured.behind(await self._in(self._reading, partial(reader.behind, oldest)))

    def _launch(self) -> None:
        """Start requests while there are records for them and places."""
        while not self._ending and len(self._requests) < self._plan.requests_max:
            batch = self._waiting.take(self._delivery.limits.request_bytes_max)
            if not batch:
                return
            self._start(self._deliver(batch))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._requests.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._problem = self._problem or task.exception()
        self._launch()

    async def _deliver(self, batch: list[Held]) -> None:
        try:
            await self._delivery.deliver(batch)
        finally:
            self._waiting.release(batch)

    async def _bury(self, held: Held, reason: str, why: str) -> None:
        for bytes_max in (self._plan.dead_letter_bytes_max, 0):
            # What is too large even when cut is reduced to a pointer to where it can be read.
            write = partial(self._write_dead_letter, held, reason, why, bytes_max)
            if await self._in(self._burying, write):
                return
        raise ClusterError(
            f"topics.dead_letters: {self._plan.dead_letters}: takes not even a record of 2 KiB: "
            "raise its max.message.bytes"
        )

    def _write_dead_letter(self, held: Held, reason: str, why: str, bytes_max: int) -> bool:
        record = held.record
        letter = dead_letter(
            self._plan.dead_letters,
            reason,
            (self._plan.source, record.partition, record.offset),
            key=record.key,
            body=held.body,
            bytes_max=bytes_max,
            more=[("tailstream.answer", why.encode())] if why else None,
        )
        outcome: list[bool] = []
        self._producer.send(
            letter, delivered=lambda: outcome.append(True), refused=lambda: outcome.append(False)
        )
        while not outcome:
            self._producer.flush(READ_WAIT_S)
        return outcome[0]

    def _revoked(self, partitions: list[int]) -> Mapping[int, int]:
        """Run inside the reader's calls, on its thread, while the loop waits for them."""
        return asyncio.run_coroutine_threadsafe(self._give_up(partitions), self._loop).result()

    def _lost(self, partitions: list[int]) -> None:
        self._revoked(partitions)

    async def _give_up(self, partitions: list[int]) -> dict[int, int]:
        lanes = self._waiting.give_up(partitions)
        until_s = clock.monotonic_s() + GIVE_UP_WAIT_S
        while any(lane.busy for lane in lanes) and self._requests:
            left_s = until_s - clock.monotonic_s()
            if left_s <= 0:
                break
            await asyncio.wait(self._requests, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        return closed(lanes)

    async def _end(self, reader: GroupReader) -> None:
        self._ending = True
        requests = set(self._requests)
        if requests and self._problem is None:
            await asyncio.wait(requests, timeout=GIVE_UP_WAIT_S)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        await self._in(self._reading, reader.close)
        await self._in(self._burying, self._producer.close)
        for executor in (self._reading, self._burying):
            executor.shutdown(wait=False)

    async def _in(self, executor: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(executor, call)


def _read(reader: GroupReader, *, paused: bool) -> list[GroupRecord]:
    reader.hold(paused=paused)
    return reader.read(READ_RECORDS_MAX, READ_WAIT_S)
