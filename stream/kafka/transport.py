"""Faust's transport over confluent-kafka: one Faust event for each (partition, poll).

Registered for the URL scheme `tailstream://`. Faust keeps the life cycle, the agent, the timers and
the tables; the consumer behind it is librdkafka's, polled by a thread of its own, with cooperative
rebalances. The first assignment takes Faust's stock path (recovery, timers, "ready"); later ones
tell the topics and tables what changed and never stop the partitions that stay.

Private to Faust and pinned for it: `Consumer._drain_messages` is replaced, the abstract methods
that only the stock fetcher calls refuse.
"""

import asyncio
from collections import deque
from typing import Any, ClassVar

import faust
from faust.transport import base
from faust.transport.consumer import Consumer as FaustConsumer
from faust.transport.drivers import TRANSPORTS
from faust.transport.producer import Producer as FaustProducer
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from stream.kafka.poll_thread import PollThread
from stream.kafka.receive import Batch

SCHEME = "tailstream"
RECORD_BYTES = 900
"""What Python holds for a record and its fragment beside their bytes (an estimate)."""
IDLE_WAIT_S = 0.5


class BatchSchema(faust.Schema):  # type: ignore[misc]  # faust is untyped
    """Hands a batch to the agent untouched."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Return Faust's decoder: a coroutine from message to event."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            del propagate  # nothing can fail to decode
            return create_event(message.key, message.value, None, message)

        return decode


class BatchConsumer(FaustConsumer):  # type: ignore[misc]  # faust is untyped
    """Faust's consumer over the poll thread.

    `app.host` decides what assignments mean, `app.storage` when reading must wait.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.thread: PollThread | None = None
        self.epochs: dict[int, int] = {}
        self._topic = ""
        self._inbox: deque[list[Batch]] = deque()
        # Bytes in and out by partition. Each is written by one thread only, so none needs a lock.
        self._delivered: dict[int, int] = {}
        self._released: dict[int, int] = {}
        self._arrived = asyncio.Event()
        self._first = True

    # Told by the poll thread

    def deliver(self, batches: list[Batch]) -> None:
        """Queue a poll's batches for the loop."""
        for batch in batches:
            _add(self._delivered, batch)
        self._inbox.append(batches)
        self.loop.call_soon_threadsafe(self._arrived.set)

    def held(self) -> bool:
        """Return whether more than the inbox's share waits, or too much is not delivered."""
        storage = self.app.storage
        held: bool = self.inbox_bytes() > storage.shares.inbox or storage.behind()
        return held

    def failed(self, problem: BaseException) -> None:
        """End the process: its state is in Kafka."""
        self.loop.call_soon_threadsafe(self.app.host.failed, problem)

    def warned(self, error: Any) -> None:
        """Say what librdkafka will get over by itself."""
        self.loop.call_soon_threadsafe(self.app.host.warned, error)

    async def assigned(self, epochs: dict[int, int]) -> None:
        """Open the tables' partitions, then let the host restore and start them."""
        self.epochs.update(epochs)
        if self._first:
            self._first = False
            self.app.on_rebalance_start()
            await self.on_partitions_assigned(self._owned(), self.app.consumer_generation_id)
        else:
            await self._changed(set(), self._tps(epochs))
        self.app.host.assigned(epochs)

    async def revoked(self, partitions: list[int]) -> None:
        """Let the host finish their work, then close them."""
        await self.app.host.revoked(partitions)
        await self._gone(partitions)

    async def lost(self, partitions: list[int]) -> None:
        """Close them; the host commits nothing."""
        await self.app.host.lost(partitions)
        await self._gone(partitions)

    # Asked by the host

    def released(self, batch: Batch) -> None:
        """The agent has folded the batch (or let it go)."""
        _add(self._released, batch)

    def inbox_bytes(self) -> int:
        """Return the bytes that were polled and are not folded yet."""
        return sum(self._delivered.values()) - sum(self._released.values())

    def pending(self, number: int) -> bool:
        """Return whether records of the partition were polled and are not folded yet."""
        return self._delivered.get(number, 0) != self._released.get(number, 0)

    # Faust's consumer interface

    async def subscribe(self, topics: Any) -> None:
        """Start the poll thread on the one input topic."""
        if self.thread is not None:
            return
        (self._topic,) = topics
        host = self.app.host
        self.thread = PollThread(
            host.consumer_settings, self._topic, owner=self, receiver=host.receiver, loop=self.loop
        )
        host.thread = self.thread
        self.thread.start()

    async def on_stop(self) -> None:
        """Run the last transaction, then leave the group."""
        if self.thread is None:
            return
        if self.epochs and self.thread.is_alive():
            await self.app.host.revoked(list(self.epochs))
            self.epochs.clear()
        self.thread.stopping.set()
        # Leaving the group calls back into the loop, so it must not be blocked meanwhile.
        await asyncio.get_running_loop().run_in_executor(None, self.thread.join)
        self.app.host.stopped()

    async def _drain_messages(self, fetcher: Any) -> None:
        generation = self.app.consumer_generation_id
        while not (self.should_stop or fetcher.should_stop):
            if not self._inbox:
                self._arrived.clear()
                # Not wait_for: on 3.11 it can swallow the cancel that ends this task.
                try:
                    async with asyncio.timeout(IDLE_WAIT_S):
                        await self._arrived.wait()
                except TimeoutError:
                    continue
            while self._inbox and not (self.should_stop or fetcher.should_stop):
                for batch in self._inbox.popleft():
                    await self._hand_over(batch, generation)
            await asyncio.sleep(0)

    async def _hand_over(self, batch: Batch, generation: int) -> None:
        if self.epochs.get(batch.partition) != batch.epoch:
            self.released(batch)
            return
        tp = TP(self._topic, batch.partition)
        first = batch.records[0].offset
        message = ConsumerMessage(
            tp.topic,
            tp.partition,
            first,
            0.0,
            0,
            None,
            None,
            batch,
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )
        await self.callback(message)

    async def _gone(self, partitions: list[int]) -> None:
        for number in partitions:
            self.epochs.pop(number, None)
        if not self.app.should_stop:
            await self._changed(self._tps(partitions), set())

    async def _changed(self, gone: set[Any], new: set[Any]) -> None:
        """What Faust does after a rebalance, without stopping the partitions that stay."""
        owned = self._owned()
        await self.app.topics.on_partitions_assigned(owned)
        for table in self.app.tables.values():
            await table.on_rebalance(owned, gone, new, self.app.consumer_generation_id)

    def _owned(self) -> set[Any]:
        return self._tps(self.epochs)

    def _tps(self, partitions: Any) -> set[Any]:
        return {TP(self._topic, number) for number in partitions}

    def assignment(self) -> set[Any]:
        """Return the partitions that are ours."""
        return self._owned()

    def highwater(self, tp: Any) -> int:
        """Not known here: lag is the host's."""
        del tp
        return 0

    def topic_partitions(self, topic: str) -> int | None:
        """Not known here."""
        del topic
        return None

    def key_partition(self, topic: str, key: Any, partition: int | None = None) -> int | None:
        """Faust produces nothing here."""
        del topic, key
        return partition

    async def perform_seek(self) -> None:
        """Start positions are given when a partition is restored."""

    async def force_commit(self, *_: Any, **__: Any) -> bool:
        """Offsets are committed by the worker's transactions only."""
        return False

    async def seek_wait(self, partitions: Any) -> None:
        """No table is recovered by Faust."""

    async def seek_to_committed(self) -> dict[Any, int]:
        """No table is recovered by Faust."""
        return {}

    async def position(self, tp: Any) -> int | None:
        """Not known here."""
        del tp
        return None

    async def highwaters(self, *tps: Any) -> dict[Any, int]:
        """No table is recovered by Faust."""
        del tps
        return {}

    async def earliest_offsets(self, *tps: Any) -> dict[Any, int]:
        """No table is recovered by Faust."""
        del tps
        return {}

    async def create_topic(self, *_: Any, **__: Any) -> None:
        """Topics are made by `tailstream topics --create` only."""

    async def _commit(self, offsets: Any) -> bool:
        raise AssertionError(f"Faust must not commit: {offsets}")

    async def _getmany(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("replaced by _drain_messages")

    async def _seek(self, tp: Any, offset: int) -> None:
        raise AssertionError(f"Faust must not seek: {tp} {offset}")

    def _new_topicpartition(self, topic: str, partition: int) -> Any:
        return TP(topic, partition)

    def _to_message(self, *_: Any) -> Any:
        raise AssertionError("replaced by _drain_messages")


def _add(sizes: dict[int, int], batch: Batch) -> None:
    held_bytes = batch.size + RECORD_BYTES * len(batch.records)
    sizes[batch.partition] = sizes.get(batch.partition, 0) + held_bytes


class HostProducer(FaustProducer):  # type: ignore[misc]  # faust is untyped
    """The host's producer's place in Faust's start order: before the consumer, stopped after."""

    async def on_start(self) -> None:
        """Fence whoever used our transactional id before; offsets are read only after this."""
        await super().on_start()
        try:
            await self.app.host.start()
        except Exception as problem:  # noqa: BLE001 - the host knows what each means for the process
            self.app.host.failed(problem)

    async def flush(self) -> None:
        """Faust sends nothing through it."""


class Transport(base.Transport):  # type: ignore[misc]  # faust is untyped
    """The transport that `tailstream://` names."""

    Consumer: ClassVar[type] = BatchConsumer
    Producer: ClassVar[type] = HostProducer
    default_port = 9092
    driver_version = "confluent-kafka"


TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"
