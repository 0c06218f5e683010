"""The poll thread: the only user of the Consumer.

confluent-kafka serialises the calls of all threads on a handle by a sleeping spin, so a second
thread that asks the polling consumer for anything can wait for a minute. Whoever needs the consumer
queues a request here; it is served between polls, and also while a rebalance callback waits.
"""

import asyncio
import concurrent.futures
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream import clock, logs
from stream.kafka.client_log import FatalLines
from stream.kafka.errors import ClientEndedError, is_operators_fault
from stream.kafka.poll_size import PollSize
from stream.kafka.receive import Batch, Receiver

POLL_WAIT_S = 0.05
REPORT_WAIT_S = 1.0
CALLBACK_TIMEOUT_S = 120.0
# Short back-pressure is left to librdkafka's own queue: a pause throws away what is fetched.
PAUSE_AFTER_S = 0.3
HELD_WAIT_S = 0.005
ANSWER_AFTER_S = 15.0
NO_ANSWER_REMEDY = (
    "grant the worker's principal Read on the group; if it may, the group's coordinator is away, "
    "or a member keeps the others waiting"
)

log = logs.logger("tailstream.kafka")

_MAY_COME = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - librdkafka's public code
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - as above
    }
)


class Owner(Protocol):
    """What the poll thread tells. The coroutines run on the loop, the rest on this thread."""

    def deliver(self, batches: list[Batch]) -> None:
        """Take the batches of one poll."""

    def held(self) -> bool:
        """Return whether reading must wait (back-pressure)."""

    def failed(self, problem: BaseException) -> None:
        """The thread, or the client under it, cannot go on."""

    def warned(self, error: Any) -> None:
        """The client reported something that it will get over by itself."""

    async def assigned(self, epochs: dict[int, int]) -> None:
        """These partitions are ours, not read yet: partition -> epoch of the assignment."""

    async def revoked(self, partitions: list[int]) -> None:
        """The group waits until this returns."""

    async def lost(self, partitions: list[int]) -> None:
        """They are somebody else's already."""


class PollThread(threading.Thread):
    """Polls, hands batches over, and changes the assignment, all inside `consume()`."""

    def __init__(
        self,
        settings: dict[str, Any],
        topic: str,
        *,
        owner: Owner,
        receiver: Receiver,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(name="tailstream-poll", daemon=True)
        self.stopping = threading.Event()
        self.group_metadata: Any = None
        self.turned_s = clock.monotonic_s()
        # The message of a fatal error has no reason; what was reported before it does.
        self._fatal: Any = None
        self._fatal_line: tuple[float, str] | None = None
        self._consumer = Consumer(
            {**settings, "error_cb": self._reported}, logger=FatalLines(self._heard)
        )
        self._topic = topic
        self._owner = owner
        self._receiver = receiver
        self._loop = loop
        self._requests: deque[Callable[[Any], None]] = deque()
        self._epochs: dict[int, int] = {}
        self._reading: dict[int, int] = {}
        self._epoch = 0
        self.member_id: str | None = None
        self.divided_s = self.turned_s
        self._rejoins = False
        self._stale: set[int] = set()
        self._group = settings["group.id"]
        self._asked_s = self.turned_s
        self._answered = False
        self._held_since: float | None = None
        self._paused = False
        self._waiting: set[int] = set()
        self._size = PollSize()

    # Called from other threads

    def request(self, act: Callable[[Any], Any]) -> "concurrent.futures.Future[Any]":
        """Run `act(consumer)` on this thread, soon."""
        answer: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def serve(consumer: Any) -> None:
            try:
                answer.set_result(act(consumer))
            except BaseException as problem:  # noqa: BLE001 - it belongs to whoever asked
                answer.set_exception(problem)

        self._requests.append(serve)
        return answer

    def start_partition(self, number: int, epoch: int, offset: int) -> None:
        """Read the partition from `offset` on, unless it has been taken away meanwhile."""
        started = self.request(
            lambda consumer: self._start_partition(consumer, number, epoch, offset)
        )
        started.add_done_callback(self._check_start)

    def wait(self, number: int, epoch: int, *, waits: bool) -> None:
        """Stop reading this partition alone, or go on, unless it has been taken away meanwhile."""
        done = self.request(lambda consumer: self._wait(consumer, number, epoch, waits=waits))
        done.add_done_callback(self._check_start)

    def positions(self, numbers: list[int]) -> "concurrent.futures.Future[dict[int, int]]":
        """Return where reading stands, without partitions of which nothing was read yet."""

        def ask(consumer: Any) -> dict[int, int]:
            found = consumer.position([TopicPartition(self._topic, n) for n in numbers])
            return {one.partition: one.offset for one in found if one.offset >= 0}

        return self.request(ask)

    def rejoin(self) -> None:
        """Leave the group and join it anew, soon: all its members then divide the partitions."""
        self._rejoins = True

    # On this thread

    def run(self) -> None:
        """Poll until told to stop; leave the group."""
        try:
            self._subscribe()
            while not self.stopping.is_set():
                self._poll()
        except BaseException as problem:  # noqa: BLE001 - no thread above this one would see it
            self._owner.failed(problem)
        finally:
            self._close()

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _poll(self) -> None:
        self.turned_s = clock.monotonic_s()
        if self._rejoins:
            # Not as a request: those are served in rebalance callbacks, too.
            self._rejoins = self._answered = False
            self._asked_s = self.turned_s
            self._consumer.unsubscribe()
            self._subscribe()
        while self._requests:
            self._requests.popleft()(self._consumer)
        if not self._answered:
            self._wonder()
        wait_s = self._back_pressure()
        if wait_s is None:
            return
        messages = self._consumer.consume(1 if self._paused else self._size.messages, wait_s)
        if self._fatal is not None:
            # A member that is fenced while it joins is told so by no message: it would wait for
            # ever, and the group would keep its partitions for it.
            raise KafkaException(self._fatal)
        if not messages:
            self._heed()
            return
        errors: list[Any] = []
        began_s = clock.monotonic_s()
        batches = self._receiver.receive(messages, self._reading, errors)
        self._size.took(len(messages), clock.monotonic_s() - began_s)
        if batches:
            self._owner.deliver(batches)
        for error in errors:
            self._error(error)

    def _heed(self) -> None:
        """End after a fatal line that no message and no report has followed.

        Seen of KIP-848 on Kafka 4.4, when the group was gone with the broker: the client polled on
        for ever, in no group.
        """
        if self._fatal_line is not None:
            heard_s, line = self._fatal_line
            if clock.monotonic_s() > heard_s + REPORT_WAIT_S:
                raise ClientEndedError(line)

    def _wonder(self) -> None:
        """Say that nothing happens: librdkafka keeps it to itself when it may not join."""
        if self.turned_s > self._asked_s + ANSWER_AFTER_S:
            self._asked_s = self.turned_s
            log.warning("the group does not answer", group=self._group, remedy=NO_ANSWER_REMEDY)

    def _back_pressure(self) -> float | None:
        """Return how long to poll for, None to look again."""
        if not self._owner.held():
            if self._paused:
                reading = self._reading.keys() - self._waiting
                self._consumer.resume(self._partitions(reading))
                self._paused = False
            self._held_since = None
            return POLL_WAIT_S
        if self._held_since is None:
            self._held_since = clock.monotonic_s()
        if clock.monotonic_s() - self._held_since < PAUSE_AFTER_S:
            time.sleep(HELD_WAIT_S)
            return None
        if not self._paused:
            self._consumer.pause(self._partitions(self._reading))
            self._paused = True
        return POLL_WAIT_S

    def _error(self, error: Any) -> None:
        fatal = error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001 - librdkafka's public code
        if fatal:
            self._await_report()
            if self._fatal is None:
                raise ClientEndedError(error.str())
            raise KafkaException(self._fatal)
        reset = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001 - as above
        # A topic that is not there (yet) is waited for; one that is denied is not.
        denied = is_operators_fault(error) and error.code() not in _MAY_COME
        if error.code() == reset:
            raise KafkaException(error)
        if denied:
            reading = f"{error.str()}: topic {self._topic}, group {self._group}"
            raise KafkaException(KafkaError(error.code(), reading))
        self._owner.warned(error)

    def _await_report(self) -> None:
        """The message says that the client has failed, the callback why: either may come first."""
        until_s = clock.monotonic_s() + REPORT_WAIT_S
        while self._fatal is None and clock.monotonic_s() < until_s:
            self._consumer.poll(POLL_WAIT_S)

    def _heard(self, line: str) -> None:
        if self._fatal_line is None:
            self._fatal_line = clock.monotonic_s(), line

    def _reported(self, error: Any) -> None:
        if error.fatal():
            self._fatal = error

    def _check_start(self, answer: "concurrent.futures.Future[Any]") -> None:
        problem = answer.exception()
        if problem is not None:
            self._owner.failed(problem)

    def _start_partition(self, consumer: Any, number: int, epoch: int, offset: int) -> None:
        if self._epochs.get(number) != epoch:
            return
        partition = TopicPartition(self._topic, number, offset)
        consumer.incremental_assign([partition])
        self._reading[number] = epoch
        # A pause outlives unassign and assign: one that was paused when it was revoked must be
        # resumed, or it would never be read again.
        (consumer.pause if self._paused else consumer.resume)([partition])

    def _wait(self, consumer: Any, number: int, epoch: int, *, waits: bool) -> None:
        if self._reading.get(number) != epoch:
            return
        (self._waiting.add if waits else self._waiting.discard)(number)
        if not self._paused:
            (consumer.pause if waits else consumer.resume)(self._partitions([number]))

    def _on_assign(self, consumer: Any, partitions: Sequence[Any]) -> None:
        self._answered = True
        self.divided_s = clock.monotonic_s()
        try:
            self._notice_expulsion(consumer)
            numbers = {one.partition for one in partitions}
            if self.member_id:
                numbers |= self._stale
                self._stale.clear()
            epochs = {}
            for number in sorted(numbers):
                self._epoch += 1
                epochs[number] = self._epoch
            # The group has them given to us; the client gets each with its resume offset, once that
            # is known. Assigned earlier and sought later, it could read from elsewhere first.
            consumer.incremental_assign([])
            self.group_metadata = consumer.consumer_group_metadata()
            self._epochs.update(epochs)
            self._ask(self._owner.assigned(epochs))
        except BaseException as problem:
            self._owner.failed(problem)
            raise

    def _on_revoke(self, consumer: Any, partitions: Sequence[Any]) -> None:
        numbers = [partition.partition for partition in partitions]
        self.divided_s = clock.monotonic_s()
        expelled = self._notice_expulsion(consumer)
        self.group_metadata = consumer.consumer_group_metadata()
        if expelled:
            self._stale.difference_update(numbers)
        else:
            self._give_up(consumer, numbers, self._owner.revoked)

    def _on_lost(self, consumer: Any, partitions: Sequence[Any]) -> None:
        numbers = [partition.partition for partition in partitions]
        self._give_up(consumer, numbers, self._owner.lost)

    def _notice_expulsion(self, consumer: Any) -> bool:
        """Lose what we held as another member, before a new generation can vouch for it.

        Who is expelled while it waits to join joins again under a new id, and librdkafka does not
        call that a loss: it goes on to revoke, though others have had the partitions in between. A
        last transaction in the new generation would be accepted, and what the others decided would
        be decided twice. Those that we are to keep begin anew with the next assignment to a member:
        seen on Kafka 4.4 was first an empty one without a member id, then `revoke` with a new one.
        """
        member_id = consumer.memberid()
        expelled = bool(self._epochs) and member_id != self.member_id
        self.member_id = member_id
        if expelled:
            numbers = sorted(self._epochs)
            log.warning("expelled from the group, and back", partitions=numbers)
            self._give_up(consumer, numbers, self._owner.lost)
            self._stale.update(numbers)
        return expelled

    def _give_up(
        self,
        consumer: Any,
        numbers: list[int],
        tell: Callable[[list[int]], Coroutine[Any, Any, None]],
    ) -> None:
        self._stale.difference_update(numbers)
        read = [number for number in numbers if number in self._reading]
        for number in numbers:
            self._epochs.pop(number, None)
            self._reading.pop(number, None)
            self._waiting.discard(number)
        try:
            self._ask(tell(numbers))
        except BaseException as problem:  # noqa: BLE001 - the owner ends the process
            self._owner.failed(problem)
        consumer.incremental_unassign(self._partitions(read))

    def _ask(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it on the loop and wait, serving what the loop asks of this thread meanwhile."""
        answer = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        until = clock.monotonic_s() + CALLBACK_TIMEOUT_S
        while not answer.done():
            self.turned_s = clock.monotonic_s()
            if self._requests:
                self._requests.popleft()(self._consumer)
            try:
                answer.result(HELD_WAIT_S)
            except concurrent.futures.TimeoutError:
                if clock.monotonic_s() > until:
                    answer.cancel()
                    raise
        answer.result()

    def _partitions(self, numbers: Iterable[int]) -> list[Any]:
        return [TopicPartition(self._topic, number) for number in numbers]

    def _close(self) -> None:
        try:
            while self._requests:
                self._requests.popleft()(self._consumer)
            self._consumer.close()
        except BaseException as problem:  # noqa: BLE001 - as in run
            self._owner.failed(problem)
