"""What the broker says of a consumer group's members and their partitions."""

import struct
import warnings
from collections.abc import Collection, Iterator
from typing import Any

from confluent_kafka.admin import AdminClient

from stream.kafka.client_log import LOGGER

CALL_TIMEOUT_S = 5.0


class GroupMembers:
    """Asks for the members of a group of the classic protocol. One thread at a time.

    Never by AdminClient's `describe_consumer_groups`: librdkafka 2.16 aborts the process where the
    coordinator moves meanwhile. `list_groups` asks each broker, and no coordinator.
    """

    def __init__(self, connection: dict[str, Any], *, group: str, topic: str) -> None:
        self._connection = connection
        self._group = group
        self._topic = topic

    def assigned(self) -> dict[str, Collection[int]] | None:
        """Return each member's partitions by its member id, None while the group rebalances.

        Raises:
            KafkaException: the broker does not answer, or does not tell.
        """
        # Nearly no worker ever asks, so there is no client but for the asking.
        admin: Any = AdminClient(self._connection, logger=LOGGER)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found = admin.list_groups(self._group, timeout=CALL_TIMEOUT_S)
        told = [one for one in found if one.id == self._group and one.error is None]
        if not told or told[0].state != "Stable":
            return None
        return {
            member.id: {*partitions_of(member.assignment, self._topic)}
            for member in told[0].members
        }


def partitions_of(assignment: bytes, topic: str) -> Iterator[int]:
    """Yield a topic's partitions in an assignment, none where it is not to be read.

    Format: ConsumerProtocolAssignment.json of Apache Kafka, which all its versions begin with.
    """
    try:
        _, topics = struct.unpack_from(">hi", assignment)
        position = 6
        for _ in range(topics):
            (size,) = struct.unpack_from(">H", assignment, position)
            name = assignment[position + 2 : position + 2 + size]
            (count,) = struct.unpack_from(">i", assignment, position + 2 + size)
            position += 6 + size
            numbers = struct.unpack_from(f">{count}i", assignment, position)
            position += 4 * count
            if name == topic.encode():
                yield from numbers
    except struct.error:
        return
