"""A transaction's records, handed to the producer: one call a record, most for a dropped trace."""

from collections.abc import Callable, Sequence
from typing import Any

from stream.kafka.commit import PartitionCommit, Produce

RETRY_WAIT_S = 0.1
BY_PARTITIONER = -1
"""librdkafka's word for a record whose partition it is to choose itself."""


def produce(producer: Any, commits: Sequence[PartitionCommit], ends: dict[int, int]) -> None:
    """Produce everything. A record that fails fails the transaction, so who asks is the last."""
    produce_plain = producer.produce
    for commit in commits:
        last = _last_decision(commit.records)
        for record in commit.records:
            if record is last:
                _produce_one(producer, record, _delivered(commit.partition, ends, None))
            elif record.plain and record.partition is not None:
                # Nearly all: whatever else is named costs half as much as the call itself.
                try:
                    produce_plain(record.topic, record.value, record.key, record.partition)
                except BufferError:
                    _produce_one(producer, record, None)
            else:
                _produce_one(producer, record, None)


def produce_checked(
    producer: Any,
    commits: Sequence[PartitionCommit],
    ends: dict[int, int],
    failures: list[Any],
    *,
    decisions: bool,
) -> None:
    """Produce the decisions, or all others, and note what each fails with."""
    for commit in commits:
        last = _last_decision(commit.records)
        for record in commit.records:
            if _is_decision(record) is decisions:
                end_of = commit.partition if record is last else None
                _produce_one(producer, record, _delivered(end_of, ends, failures))


def _last_decision(records: list[Produce]) -> Produce | None:
    # Every delivery ends in its decision record; dead letters alone leave none.
    return next(filter(_is_decision, reversed(records)), None)


def _is_decision(record: Produce) -> bool:
    return record.partition is not None and record.plain


def _delivered(
    partition: int | None, ends: dict[int, int], failures: list[Any] | None
) -> Callable[[Any, Any], None]:
    def delivered(error: Any, message: Any) -> None:
        if error is not None:
            if failures is not None:
                failures.append(error)
        elif partition is not None:
            ends[partition] = message.offset() + 1

    return delivered


def _produce_one(producer: Any, record: Produce, delivered: Any) -> None:
    partition = BY_PARTITIONER if record.partition is None else record.partition
    value, key = record.value, record.key
    headers = None if record.plain else record.headers
    while True:
        try:
            producer.produce(record.topic, value, key, partition, delivered, headers=headers)
        except BufferError:
            producer.poll(RETRY_WAIT_S)
        else:
            return
