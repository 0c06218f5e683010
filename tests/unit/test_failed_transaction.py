"""A transaction that fails while its records are produced: its cause is told, not its state."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.kafka import transactions
from stream.kafka.commit import PartitionCommit, Produce
from stream.kafka.transactions import RefusedError, TransactionalCommitter

METADATA = b"CGMDv2:\x00\x00\x00\x01g\x00m\x00\x01"


class Failed:
    """librdkafka's side: it could not add a topic that we may not write, and nothing is open."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Nothing is asked yet."""

    def begin_transaction(self) -> None:
        """It fails right after this."""

    def produce(self, *_: Any, **__: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._STATE, "erroneous state"))

    def send_offsets_to_transaction(self, *_: Any) -> None:
        raise KafkaException(
            KafkaError(
                KafkaError.TOPIC_AUTHORIZATION_FAILED,
                "Topic authorization failed",
                txn_requires_abort=True,
            )
        )

    def abort_transaction(self, *_: Any) -> None:
        raise KafkaException(KafkaError(KafkaError.INVALID_TXN_STATE, "nothing is open", True))


def test_a_record_refused_by_a_failed_transaction_is_told_by_what_failed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transactions, "Producer", Failed)
    committer = TransactionalCommitter({"transactional.id": "t"}, topic="in", position_group=None)
    commit = PartitionCommit(partition=0, resume_offset=1, metadata="", position=1)
    commit.records.append(Produce("out", 0, b"k", b"v"))
    with pytest.raises(RefusedError, match=r"Topic authorization failed.*out"):
        committer.commit([commit], METADATA)
