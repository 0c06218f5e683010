"""A transaction's records, handed to the producer: one call a record, most for a dropped trace."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stream import compiled
from stream.kafka.commit import PartitionCommit, Produce

if TYPE_CHECKING or compiled.RUNS:
    from stream.kafka._commit import produce_all

RETRY_WAIT_S = 0.1
BY_PARTITIONER = -1
"""librdkafka's word for a record whose partition it is to choose itself."""


def produce(producer: Any, commits: Sequence[PartitionCommit], ends: dict[int, int]) -> None:
    """Produce everything; `ends` gets the offset after each partition's last decision.

    A record that fails fails the transaction, so nobody else need ask what became of it.
    """
    for commit in commits:
        last = _last_decision(commit.records)
        end = _delivered(commit.partition, ends, None)

        def produce_odd(record: Produce, last: Any = last, end: Any = end) -> None:
            _produce_one(producer, record, end if record is last else None)

        if compiled.RUNS:
            produce_all(producer.produce, commit.records, last, produce_odd)
        else:
            for record in commit.records:
                produce_odd(record)


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
