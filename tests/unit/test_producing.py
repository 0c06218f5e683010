"""What of a transaction reaches librdkafka: every record once, in order; a full queue is no end."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from stream.kafka.commit import PartitionCommit, Produce
from stream.kafka.producing import BY_PARTITIONER, produce, produce_checked

Call = tuple[str, bytes, bytes | None, int, list[tuple[str, bytes]] | None]


class Queue:
    """librdkafka's side: a queue with room for some records, which a poll delivers."""

    def __init__(self, room: int = 1_000, error: object = None) -> None:
        self.calls: list[Call] = []
        self._room = self._free = room
        self._error = error
        self._reports: list[Callable[[], None]] = []

    def produce(
        self,
        topic: str,
        value: bytes,
        key: bytes | None,
        partition: int,
        delivered: Callable[[Any, Any], None] | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        if not self._free:
            raise BufferError
        self._free -= 1
        offset = len(self.calls)
        self.calls.append((topic, value, key, partition, headers))
        if delivered is not None:
            message = SimpleNamespace(offset=lambda: offset)
            self._reports.append(lambda: delivered(self._error, message))

    def poll(self, _: float = 0) -> None:
        self._free = self._room
        reports, self._reports = self._reports, []
        for report in reports:
            report()


HEADERS = [("tailstream.policy", b"errors")]


def a_commit(partition: int, *records: Produce) -> PartitionCommit:
    return PartitionCommit(
        partition=partition, resume_offset=1, metadata="", position=1, records=list(records)
    )


def an_output(partition: int, key: bytes) -> Produce:
    return Produce("output", partition, key, b"spans", list(HEADERS))


def a_decision(partition: int, key: bytes) -> Produce:
    return Produce("decisions", partition, key, b"decided")


def a_dead_letter(key: bytes | None) -> Produce:
    return Produce("dead", None, key, b"bad", list(HEADERS))


COMMITS = [
    a_commit(0, a_decision(0, b"1"), an_output(0, b"2"), a_decision(0, b"2"), a_dead_letter(None)),
    a_commit(1, a_dead_letter(b"k")),
    a_commit(2, a_decision(2, b"3"), a_decision(2, b"4")),
]
CALLS = [
    ("decisions", b"decided", b"1", 0, None),
    ("output", b"spans", b"2", 0, HEADERS),
    ("decisions", b"decided", b"2", 0, None),
    ("dead", b"bad", None, BY_PARTITIONER, HEADERS),
    ("dead", b"bad", b"k", BY_PARTITIONER, HEADERS),
    ("decisions", b"decided", b"3", 2, None),
    ("decisions", b"decided", b"4", 2, None),
]


def test_every_record_goes_out_in_its_order() -> None:
    queue = Queue()
    produce(queue, COMMITS, {})
    assert queue.calls == CALLS


def test_a_full_queue_is_waited_for() -> None:
    queue = Queue(room=1)
    produce(queue, COMMITS, {})
    assert queue.calls == CALLS


def test_the_end_is_that_of_each_partition_s_last_decision() -> None:
    queue, ends = Queue(), dict[int, int]()
    produce(queue, COMMITS, ends)
    assert ends == {}
    queue.poll()
    assert ends == {0: 3, 2: 7}


def test_a_decision_that_was_not_delivered_ends_nothing() -> None:
    queue, ends = Queue(error="refused"), dict[int, int]()
    produce(queue, COMMITS, ends)
    queue.poll()
    assert ends == {}


def test_without_transactions_decisions_go_apart_and_each_failure_is_told() -> None:
    queue, ends, failures = Queue(error="refused"), dict[int, int](), list[Any]()
    produce_checked(queue, COMMITS, ends, failures, decisions=False)
    assert queue.calls == [call for call in CALLS if call[0] != "decisions"]
    produce_checked(queue, COMMITS, ends, failures, decisions=True)
    assert queue.calls[3:] == [call for call in CALLS if call[0] == "decisions"]
    queue.poll()
    assert (failures, ends) == (["refused"] * len(CALLS), {})
