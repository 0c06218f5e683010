"""Finds transactions that stay open for ever, and ends them: the protocol by hand.

As `kafka-transactions.sh find-hanging` and `abort` do, which need Kafka's own tools.
DescribeProducers, version 0, and WriteTxnMarkers, version 1:
https://kafka.apache.org/protocol#The_Messages_DescribeProducers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import calcsize, pack, unpack_from
from typing import TypeVar

from tests.harness.wire import ask

Read = TypeVar("Read")

DESCRIBE_PRODUCERS = 61, 0
WRITE_TXN_MARKERS = 27, 1
NO_TAGS = b"\0"
ABORT = False


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that is open in one partition, from `start` on."""

    topic: str
    partition: int
    start: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int


def open_transactions(
    bootstrap: str, partitions: Iterable[tuple[str, int]]
) -> list[OpenTransaction]:
    """Return what is open in these (topic, partition)."""
    found = []
    for topic, number in partitions:
        body = _array([_string(topic) + _array([pack(">i", number)]) + NO_TAGS]) + NO_TAGS
        answer = _Answer(ask(bootstrap, _header(*DESCRIBE_PRODUCERS) + body))
        found += [one for one in answer.producers() if one.start >= 0]
    return found


def end_transaction(bootstrap: str, one: OpenTransaction) -> None:
    """Abort it in that partition, as an operator does who is sure that nobody else will."""
    topic = _string(one.topic) + _array([pack(">i", one.partition)]) + NO_TAGS
    marker = pack(">qh?", one.producer_id, one.producer_epoch, ABORT) + _array([topic])
    marker += pack(">i", max(0, one.coordinator_epoch)) + NO_TAGS
    answer = _Answer(ask(bootstrap, _header(*WRITE_TXN_MARKERS) + _array([marker]) + NO_TAGS))
    assert (error := answer.marker_error()) == 0, f"the broker's error {error}"


def _header(key: int, version: int) -> bytes:
    return pack(">hhih", key, version, 1, -1) + NO_TAGS


def _array(values: list[bytes]) -> bytes:
    return bytes([len(values) + 1]) + b"".join(values)


def _string(text: str) -> bytes:
    assert len(text) < 0x7F, "a length of one byte"
    return bytes([len(text) + 1]) + text.encode()


class _Answer:
    """Reads a flexible answer; its header ends with tags, and so does every element of an array."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._at = 0
        self._take("i")  # correlation id
        self._tags()

    def producers(self) -> list[OpenTransaction]:
        self._take("i")  # throttle time
        return [one for topic in self._each(self._topic) for one in topic]

    def marker_error(self) -> int:
        """Return what became of the one marker in the one partition."""
        return self._each(self._marker)[0]

    def _topic(self) -> list[OpenTransaction]:
        name = self._text()
        return [one for partition in self._each(lambda: self._partition(name)) for one in partition]

    def _partition(self, topic: str) -> list[OpenTransaction]:
        number, error = self._take("i"), self._take("h")
        assert error == 0, f"{topic} {number}: the broker's error {error}"
        self._text()
        return self._each(lambda: self._producer(topic, number))

    def _producer(self, topic: str, number: int) -> OpenTransaction:
        producer_id, epoch = self._take("q"), self._take("i")
        self._take("i")  # last sequence
        self._take("q")  # last timestamp
        coordinator_epoch, start = self._take("i"), self._take("q")
        return OpenTransaction(topic, number, start, producer_id, epoch, coordinator_epoch)

    def _marker(self) -> int:
        self._take("q")  # producer id
        return self._each(lambda: (self._text(), self._each(self._error)[0])[1])[0]

    def _error(self) -> int:
        self._take("i")  # partition
        return self._take("h")

    def _each(self, read: Callable[[], Read]) -> list[Read]:
        found = []
        for _ in range(self._number() - 1):
            found.append(read())
            self._tags()
        return found

    def _text(self) -> str:
        size = self._number() - 1
        if size < 0:
            return ""
        self._at += size
        return self._answer[self._at - size : self._at].decode()

    def _tags(self) -> None:
        assert self._number() == 0, "tags that these versions do not have"

    def _number(self) -> int:
        """Read an unsigned varint."""
        number = shift = 0
        while True:
            byte = self._take("B")
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    def _take(self, kind: str) -> int:
        taken: int = unpack_from(f">{kind}", self._answer, self._at)[0]
        self._at += calcsize(f">{kind}")
        return taken
