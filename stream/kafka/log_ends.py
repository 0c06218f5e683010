"""Where logs end, by one request a broker."""

import contextlib
from collections.abc import Iterable
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec


def log_ends(
    admin: Any, topic: str, numbers: Iterable[int], level: IsolationLevel, timeout_s: float
) -> dict[int, int]:
    """Return the ends of a topic's partitions; one that no broker tells of is left out.

    With `READ_COMMITTED` the end is where the oldest open transaction begins, if there is one.
    """
    latest = OffsetSpec.latest()
    answers = admin.list_offsets(
        {TopicPartition(topic, number): latest for number in numbers},
        isolation_level=level,
        request_timeout=timeout_s,
    )
    ends = {}
    for asked, answer in answers.items():
        with contextlib.suppress(KafkaException):
            ends[asked.partition] = answer.result().offset
    return ends
