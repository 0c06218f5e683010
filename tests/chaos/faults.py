"""What each kind of fault does."""

import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.chaos.fleet import Fleet, StuckError
from tests.chaos.schedule import Fault, Kind
from tests.harness.broker import Broker
from tests.harness.client_quota import set_produce_quota
from tests.harness.topics import REQUEST_TIMEOUT_S, GroupOffsets, Topics, ends_of

GROWN_BY = 2
EMPTY_TIMEOUT_S = 120
REACHED_TIMEOUT_S = 60
# What the workers produce is some 100 kB a second: from a crawl to a little less than that.
QUOTA_BYTES_A_S = (2_000, 80_000)


class Faults:
    """Strikes, and takes the cause away again; what the workers then do is theirs."""

    def __init__(self, broker: Broker, topics: Topics, fleet: Fleet, partitions: int) -> None:
        self.partitions = partitions
        self.hints_dropped = 0
        self._broker = broker
        self._topics = topics
        self._fleet = fleet
        self._acts: dict[Kind, Callable[[Fault], None]] = {
            Kind.KILL: self._kill,
            Kind.TERM: self._terminate,
            Kind.ZOMBIE: self._freeze,
            Kind.JOIN: self._join,
            Kind.LEAVE: self._leave,
            Kind.BROKER: self._kill_the_broker,
            Kind.QUOTA: self._slow_down,
            Kind.GROW: self._grow,
            Kind.DAMAGE: self._damage,
            Kind.HINTS: self._drop_hints,
        }

    def strike(self, fault: Fault) -> None:
        """Return when the cause is over."""
        self._acts[fault.kind](fault)

    def _admin(self) -> AdminClient:
        """Return a fresh client: one that outlived a broker may look for its group's coordinator in
        a broker that it has taken off its list, and hang (librdkafka issue 5511)."""
        return AdminClient({"bootstrap.servers": self._topics.bootstrap, "log_level": 0})

    def _kill(self, fault: Fault) -> None:
        self._fleet.end(fault.slots, signal.SIGKILL)
        self._restart(fault)

    def _terminate(self, fault: Fault) -> None:
        self._fleet.end(fault.slots, signal.SIGTERM)
        self._restart(fault)

    def _restart(self, fault: Fault) -> None:
        for slot in fault.slots:
            self._fleet.start(slot, after_s=2 * fault.share)

    def _freeze(self, fault: Fault) -> None:
        for slot in fault.slots:
            self._fleet.freeze(slot)
        self._fleet.wait(fault.lasts_s)
        for slot in fault.slots:
            self._fleet.thaw(slot)

    def _join(self, fault: Fault) -> None:
        for slot in fault.slots:
            self._fleet.start(slot)

    def _leave(self, fault: Fault) -> None:
        """For good, in order or not."""
        self._fleet.end(fault.slots, signal.SIGTERM if fault.share < 0.5 else signal.SIGKILL)

    def _kill_the_broker(self, fault: Fault) -> None:
        self._broker.kill()
        self._fleet.wait(fault.lasts_s)
        with ThreadPoolExecutor(1) as starter:
            started = starter.submit(self._broker.start)
            while not started.done():
                self._fleet.tick()
            started.result()

    def _slow_down(self, fault: Fault) -> None:
        slow, less_slow = QUOTA_BYTES_A_S
        rate = round(slow + fault.share * (less_slow - slow))
        clients = [f"tailstream-{slot}" for slot in fault.slots]
        for client in clients:
            set_produce_quota(self._topics.bootstrap, client, rate)
        self._fleet.wait(fault.lasts_s)
        for client in clients:
            set_produce_quota(self._topics.bootstrap, client, None)

    def _grow(self, fault: Fault) -> None:
        """The input last: what it has, the topics behind it must have already."""
        del fault
        admin = self._admin()
        self.partitions += GROWN_BY
        topics = self._topics
        for topic in (topics.decisions, topics.output, topics.input):
            new = NewPartitions(topic, self.partitions)
            admin.create_partitions([new])[topic].result(REQUEST_TIMEOUT_S)
        # Over once the sender has found them: from then on a trace may be astride.
        for _ in range(4 * REACHED_TIMEOUT_S):
            self._fleet.wait(0.25)
            if all(ends_of(admin, topics.input).values()):
                return
        raise StuckError(f"nothing is sent to the new partitions within {REACHED_TIMEOUT_S} s")

    def _damage(self, fault: Fault) -> None:
        rng = Random(fault.seed)
        self._fleet.end(fault.slots, signal.SIGKILL)
        for slot in fault.slots:
            damage(self._fleet, slot, rng)
        self._restart(fault)

    def _drop_hints(self, fault: Fault) -> None:
        """As a tool does that sets a group's offsets, which it may while nobody is in it."""
        sig = signal.SIGTERM if fault.share < 0.5 else signal.SIGKILL
        self._fleet.end(fault.slots, sig)
        self._wait_until_the_group_is_empty()
        topics = self._topics
        offsets = GroupOffsets(topics.bootstrap, topics.group, topics.input).committed()
        if offsets:
            bare = [TopicPartition(topics.input, *pair) for pair in offsets.items()]
            request = ConsumerGroupTopicPartitions(topics.group, bare)
            admin = self._admin()
            altered = admin.alter_consumer_group_offsets([request])[topics.group]
            for one in altered.result(REQUEST_TIMEOUT_S).topic_partitions:
                assert one.error is None, one.error
            self.hints_dropped += 1
        self._fleet.join_as(fault.membership, Random(fault.seed))
        self._restart(fault)

    def _wait_until_the_group_is_empty(self) -> None:
        group = self._topics.group
        for _ in range(2 * EMPTY_TIMEOUT_S):
            admin = self._admin()  # kept: with the client its answers would go
            described = admin.describe_consumer_groups([group], request_timeout=5.0)
            try:
                state = described[group].result(REQUEST_TIMEOUT_S).state
            except KafkaException:
                state = None  # it has just lost its coordinator, or never had one
            if state in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD):
                return
            self._fleet.wait(0.5)
        raise StuckError(f"the group is not empty after {EMPTY_TIMEOUT_S} s: {state}")


def damage(fleet: Fleet, slot: str, rng: Random) -> None:
    """Do to a dead worker's files what a bad disk, or a wrong volume, would do."""
    directory = fleet.slots[slot].worker.directory
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    for path in files:
        way = rng.randrange(4)
        if way == 0:
            path.write_bytes(rng.randbytes(min(path.stat().st_size, 4_096)))
        elif way == 1:
            path.unlink()
        elif way == 2:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    database = directory / "rocksdb"
    if database.is_dir() and rng.random() < 0.3:
        shutil.rmtree(database)
        database.write_bytes(b"not a directory")
