"""Kafka itself may leave a transaction open for ever: the operator whom a worker then calls for.

Seen once in about 60 kills of the broker: a dead worker's transaction stayed open in the decisions
of three partitions, although its successor had fenced it. A worker that restores waits for it and
says so (`restore stands still`), with the remedy; here it is applied.
"""

import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.harness.broker import Broker
from tests.harness.open_transactions import OpenTransaction, end_transaction, open_transactions
from tests.harness.topics import Topics, ends_of

LOOK_EVERY_S = 5.0
# The workers' transactions time out after 10 s, and their coordinator looks every 10 s.
HANGS_AFTER_S = 60.0


class HangingTransactions:
    """Ends what hangs, and counts it in `ended`; what the broker holds is kept before that."""

    def __init__(
        self, broker: Broker, topics: Topics, home: Path, say: Callable[[str], None]
    ) -> None:
        self.ended = 0
        self._broker = broker
        self._topics = topics
        self._home = home
        self._say = say
        self._looked_s = time.monotonic()
        self._seen_s: dict[OpenTransaction, float] = {}

    def look(self) -> None:
        """See which transactions are open, now and then, and end those that have been for long."""
        now_s = time.monotonic()
        if now_s < self._looked_s + LOOK_EVERY_S:
            return
        self._looked_s = now_s
        try:
            found = open_transactions(self._broker.bootstrap, self._unstable())
        except (KafkaException, OSError):
            return  # the broker is busy, or away
        self._seen_s = {one: self._seen_s.get(one, now_s) for one in found}
        for one, since_s in self._seen_s.items():
            if now_s > since_s + HANGS_AFTER_S:
                self._end(one)

    def _unstable(self) -> list[tuple[str, int]]:
        admin = AdminClient({"bootstrap.servers": self._broker.bootstrap, "log_level": 0})
        unstable = []
        for topic in self._topics.all():
            ends, stable = ends_of(admin, topic), ends_of(admin, topic, stable=True)
            unstable += [(topic, number) for number in ends if stable.get(number) != ends[number]]
        return unstable

    def _end(self, one: OpenTransaction) -> None:
        if not self.ended:
            self._broker.save_data(self._home)
        self.ended += 1
        self._say(f"the operator ends a transaction that Kafka left open: {one}")
        end_transaction(self._broker.bootstrap, one)
