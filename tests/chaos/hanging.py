"""What Kafka itself may leave hanging after a kill: the operator whom a worker then calls for.

Seen after a few of 100 kills of the only broker: the decisions of one dead producer stayed
unstable; the group's offsets that it had committed; a group's dead members never expired. The log
was whole each time, and a broker started anew on it was well (why: stream/RATIONALE.md). A worker
says what it waits for; here the remedies are applied, on the word of clients that are fresh.
"""

import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.harness.broker import Broker
from tests.harness.open_transactions import OpenTransaction, end_transaction, open_transactions
from tests.harness.topics import PARTITIONS, Topics, ends_of

LOOK_EVERY_S = 5.0
ANSWER_TIMEOUT_S = 2.0
# The workers' transactions time out after 10 s, and their coordinator looks every 10 s.
HANGS_AFTER_S = 60.0


class HangingTransactions:
    """Ends what hangs, and counts it in `ended`; what the broker holds is kept before that.

    What no open transaction explains needs a restart of the broker: counted in `restarts`. It looks
    every `look_every_s`, and acts on what it has seen for `hangs_after_s`.
    """

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        home: Path,
        say: Callable[[str], None],
        running: Callable[[], int],
        *,
        look_every_s: float = LOOK_EVERY_S,
        hangs_after_s: float = HANGS_AFTER_S,
    ) -> None:
        self.ended = 0
        self.restarts = 0
        self._broker = broker
        self._topics = topics
        self._home = home
        self._say = say
        self._running = running
        self._look_every_s = look_every_s
        self._hangs_after_s = hangs_after_s
        self._looked_s = time.monotonic()
        self._open_s: dict[OpenTransaction, float] = {}
        self._stuck_s: dict[str, float] = {}

    def look(self) -> None:
        """See what is open, now and then, and end what has been for long."""
        now_s = time.monotonic()
        if now_s < self._looked_s + self._look_every_s:
            return
        self._looked_s = now_s
        try:
            unstable = self._unstable()
            found = open_transactions(
                self._broker.bootstrap, [(topic, number) for topic, number, _ in unstable]
            )
            stuck = {f"{topic}-{number} at {stable}" for topic, number, stable in unstable}
            stuck -= {f"{one.topic}-{one.partition} at {one.start}" for one in found}
        except (KafkaException, OSError):
            return  # the broker is busy, or away
        stuck |= self._of_the_group()
        self._open_s = {one: self._open_s.get(one, now_s) for one in found}
        self._stuck_s = {name: self._stuck_s.get(name, now_s) for name in stuck}
        for one, since_s in self._open_s.items():
            if now_s > since_s + self._hangs_after_s:
                self._end(one)
        late_s = now_s - self._hangs_after_s
        hangs = [name for name, since_s in self._stuck_s.items() if since_s < late_s]
        if hangs:
            self._restart(hangs)

    def _unstable(self) -> list[tuple[str, int, int]]:
        """Return (topic, partition, last stable offset) where that is not the end."""
        admin = AdminClient({"bootstrap.servers": self._broker.bootstrap, "log_level": 0})
        unstable = []
        for topic in self._topics.all():
            ends, stable = ends_of(admin, topic), ends_of(admin, topic, stable=True)
            unstable += [
                (topic, number, stable[number]) for number in ends if stable[number] != ends[number]
            ]
        return unstable

    def _of_the_group(self) -> set[str]:
        try:
            stuck = {"offsets"} if self._offsets_hang() else set()
            return stuck | ({"members"} if self._dead_members_stay() else set())
        except (KafkaException, OSError):
            return {"coordinator"}  # it does not answer, of a broker that does

    def _offsets_hang(self) -> bool:
        """Tell whether the group's offsets can be read, but not as stable ones."""
        client = {"bootstrap.servers": self._broker.bootstrap, "log_level": 0}
        asked = [TopicPartition(self._topics.input, number) for number in range(PARTITIONS)]
        for level in ("read_uncommitted", "read_committed"):
            consumer = Consumer(
                {**client, "group.id": self._topics.group, "isolation.level": level}
            )
            try:
                consumer.committed(asked, ANSWER_TIMEOUT_S)
            except KafkaException as problem:
                timed_out = problem.args[0].code() == KafkaError._TIMED_OUT
                return level == "read_committed" and timed_out
            finally:
                consumer.close()
        return False

    def _dead_members_stay(self) -> bool:
        """Tell whether the group has more members than run, long after the sessions of the dead."""
        admin = AdminClient({"bootstrap.servers": self._broker.bootstrap, "log_level": 0})
        group = self._topics.group
        described = admin.describe_consumer_groups([group], request_timeout=ANSWER_TIMEOUT_S)
        return len(described[group].result().members) > self._running()

    def _restart(self, hangs: list[str]) -> None:
        if not self.restarts:
            self._broker.save_data(self._home)
        self.restarts += 1
        # Sessions begin anew with it: restarted again within them, the dead would never expire.
        self._stuck_s, self._open_s = {}, {}
        why = f"no transaction explains what hangs: {', '.join(sorted(hangs))}"
        self._say(f"the operator restarts the broker: {why}")
        self._broker.stop()
        self._broker.start()

    def _end(self, one: OpenTransaction) -> None:
        if not self.ended:
            self._broker.save_data(self._home)
        self.ended += 1
        self._say(f"the operator ends a transaction that Kafka left open: {one}")
        end_transaction(self._broker.bootstrap, one)
