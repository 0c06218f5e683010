"""What the broker says of positions that other workers commit, and of the ends of their logs.

Its clients join no group, so they may be used from a thread of their own, one at a time.
"""

from collections.abc import Collection
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.kafka.client_log import LOGGER
from stream.kafka.closing import Closing
from stream.kafka.log_ends import log_ends

CALL_TIMEOUT_S = 1.0


class PositionReader(Closing):
    """Reads the position group, and the ends of the input topic's logs.

    Never by AdminClient's `list_consumer_group_offsets`: librdkafka 2.16 ends in a segmentation
    fault where the coordinator moves meanwhile.
    """

    def __init__(self, connection: dict[str, Any], *, group: str, topic: str) -> None:
        self._connection = connection
        self._group = group
        self._topic = topic
        self._client: Any = None
        self._admin: Any = None

    def committed(self, numbers: Collection[int]) -> dict[int, tuple[int, str | None]]:
        """Return the position committed last and its metadata, of partitions that have one.

        Raises:
            KafkaException: the broker does not answer.
        """
        if self._client is None:
            own = {"group.id": self._group, "isolation.level": "read_uncommitted"}
            self._client = Consumer({**self._connection, **own}, logger=LOGGER)
        asked = [TopicPartition(self._topic, number) for number in numbers]
        try:
            found = self._client.committed(asked, CALL_TIMEOUT_S)
        except KafkaException:
            # One that outlived its broker may wait for minutes where a new one is answered.
            self.close()
            raise
        return {
            one.partition: (one.offset, one.metadata)
            for one in found
            if one.error is None and one.offset >= 0
        }

    def ends(self, numbers: Collection[int]) -> dict[int, int]:
        """Return the ends by one request a broker, open transactions included.

        A partition that the broker does not tell of is left out.
        """
        if self._admin is None:
            self._admin = AdminClient(self._connection, logger=LOGGER)
        level = IsolationLevel.READ_UNCOMMITTED
        return log_ends(self._admin, self._topic, numbers, level, CALL_TIMEOUT_S)

    def close(self) -> None:
        """Leave the broker; whoever asks again gets new clients."""
        client, self._client, self._admin = self._client, None, None
        if client is not None:
            client.close()
