"""What the broker says of a consumer group's members and their partitions."""

from collections.abc import Collection
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from stream.kafka.client_log import LOGGER
from stream.kafka.closing import Closing

CALL_TIMEOUT_S = 5.0


class GroupMembers(Closing):
    """Asks for a group's members. Its client joins no group; one thread at a time."""

    def __init__(self, connection: dict[str, Any], *, group: str, topic: str) -> None:
        self._connection = connection
        self._group = group
        self._topic = topic
        self._admin: Any = None

    def assigned(self) -> dict[str, Collection[int]] | None:
        """Return each member's partitions by its member id, None while the group rebalances.

        Raises:
            KafkaException: the broker does not answer, or does not tell.
        """
        if self._admin is None:
            # Nearly no worker ever asks, so it is not made before.
            self._admin = AdminClient(self._connection, logger=LOGGER)
        answers = self._admin.describe_consumer_groups(
            [self._group], request_timeout=CALL_TIMEOUT_S
        )
        try:
            told = answers[self._group].result()
        except KafkaException:
            # One that outlived its broker may wait for minutes where a new one is answered.
            self.close()
            raise
        if told.state is not ConsumerGroupState.STABLE:
            return None
        return {
            member.member_id: {
                one.partition
                for one in member.assignment.topic_partitions
                if one.topic == self._topic
            }
            for member in told.members
        }

    def close(self) -> None:
        """Leave the broker; whoever asks again gets a new client."""
        self._admin = None
