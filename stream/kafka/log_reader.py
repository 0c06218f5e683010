"""What the broker says of the input as a whole. Never the polling consumer: it has its own client.

Its client joins no group, so it may be used from a thread of its own, one at a time.
"""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from stream import clock
from stream.kafka.client_log import LOGGER
from stream.kafka.log_ends import log_ends
from stream.kafka.log_state import Identity

CALL_TIMEOUT_S = 10.0
CALL_TIMEOUT_MIN_S = 1.0
MOCK_TIMEOUT_S = 2.0


class LogReader:
    """Reads the identity and the ends of the input topic.

    `needs_topic_id`: without one, decisions of a topic that was deleted and made anew cannot be
    told from ours. Only a broker that is good for at least once may have none.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        *,
        group: str,
        topic: str,
        decisions_topic: str,
        needs_topic_id: bool,
    ) -> None:
        self._connection = connection
        self._group = group
        self._topic = topic
        self._decisions_topic = decisions_topic
        self._needs_topic_id = needs_topic_id
        self._client = Consumer(
            {**connection, "group.id": group, "isolation.level": "read_uncommitted"},
            logger=LOGGER,
        )
        self._admin: Any = None
        self._silent: set[int] = set()

    def identity(self) -> Identity:
        """Return which cluster and topic offsets speak of, and whose decisions are ours.

        Raises:
            KafkaException: the broker does not answer, or does not know a topic.
        """
        metadata = self._client.list_topics(self._topic, timeout=CALL_TIMEOUT_S)
        topic_id = self._topic_id(self._topic)
        # A broker that has none for one topic has none for the other.
        decisions_topic_id = self._topic_id(self._decisions_topic) if topic_id else ""
        return Identity(metadata.cluster_id or "", topic_id, self._group, decisions_topic_id)

    def partitions(self) -> int:
        """Return the input's partition count as it is now."""
        metadata = self._client.list_topics(self._topic, timeout=CALL_TIMEOUT_S)
        return len(metadata.topics[self._topic].partitions)

    def ends(self, numbers: Iterable[int]) -> dict[int, int]:
        """Return the ends as the brokers say them now, open transactions included.

        A partition without a leader costs the others nothing: it is left out, and asked for last.

        Raises:
            KafkaException: no broker answers.
        """
        last_s = clock.monotonic_s() + CALL_TIMEOUT_S
        problem: KafkaException | None = None
        found: dict[int, int] = {}
        for number in sorted(numbers, key=self._silent.__contains__):
            left_s = last_s - clock.monotonic_s()
            if problem is not None and left_s <= 0:
                break
            try:
                found[number] = self._end(number, max(left_s, CALL_TIMEOUT_MIN_S))
                self._silent.discard(number)
            except KafkaException as failed:
                problem = failed
                self._silent.add(number)
        if problem is not None and not found:
            raise problem
        return found

    def stable_ends(self, numbers: Iterable[int]) -> dict[int, int]:
        """Return where the oldest open transaction of each begins, the end without one.

        A partition that no broker tells of is left out.
        """
        if self._admin is None:
            # Nearly no worker ever asks, so it is not made before.
            self._admin = AdminClient(self._connection, logger=LOGGER)
        level = IsolationLevel.READ_COMMITTED
        return log_ends(self._admin, self._topic, numbers, level, CALL_TIMEOUT_S)

    def close(self) -> None:
        """Leave the broker."""
        self._client.close()

    def _topic_id(self, topic: str) -> str:
        timeout_s = CALL_TIMEOUT_S if self._needs_topic_id else MOCK_TIMEOUT_S
        admin = AdminClient(self._connection, logger=LOGGER)
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=timeout_s)
        try:
            return str(described[topic].result().topic_id)
        except KafkaException:
            if self._needs_topic_id:
                raise
            return ""

    def _end(self, number: int, timeout_s: float) -> int:
        try:
            return self._watermark(number, timeout_s)
        except KafkaException as problem:
            unknown = KafkaError._UNKNOWN_PARTITION  # noqa: SLF001 - librdkafka's public code
            if problem.args[0].code() != unknown:
                raise
        # The topic has grown since this client last looked.
        self.partitions()
        return self._watermark(number, timeout_s)

    def _watermark(self, number: int, timeout_s: float) -> int:
        end: int = self._client.get_watermark_offsets(
            TopicPartition(self._topic, number), timeout=timeout_s, cached=False
        )[1]
        return end
