"""Without transactions: in what order things become visible on a real broker."""

import os

import pytest

from stream.kafka.commit import PartitionCommit, Produce
from stream.kafka.transactions import AbortedError, AtLeastOnceCommitter
from tests.harness.topics import end_offsets, topics_of_a_test

pytestmark = pytest.mark.integration

TRACE_ID = b"ab" * 16


def test_no_decision_stands_before_its_spans_are_out(kafka: str) -> None:
    with topics_of_a_test(kafka) as topics:
        committed: list[object] = []
        committer = AtLeastOnceCommitter(
            {"bootstrap.servers": kafka, "message.max.bytes": 10_000_000},
            topic=topics.input,
            position_group=None,
            commit_offsets=committed.extend,
        )
        refused = Produce(topics.output, 0, TRACE_ID, os.urandom(3_000_000), [("name", b"")])
        decision = Produce(topics.decisions, 0, TRACE_ID, b"decided")
        commit = PartitionCommit(
            partition=0, resume_offset=1, metadata="", position=1, records=[refused, decision]
        )

        with pytest.raises(AbortedError) as aborted:
            committer.commit([commit], None)

        assert aborted.value.message_fault
        assert sum(end_offsets(kafka, topics.decisions).values()) == 0
        assert committed == []

        commit.records = [decision]
        receipt = committer.commit([commit], None)
        assert receipt.decisions_end == {0: 1}
        assert len(committed) == 1
