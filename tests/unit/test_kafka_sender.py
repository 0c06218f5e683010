"""How an exporter's sender outlives what happens to its client and its process."""

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from opentelemetry import context as context_api

from stream import clock
from stream.kafka.embedded import EmbeddedBroker
from stream.propagation import kafka_sender
from stream.propagation.delivery import Delivery
from stream.propagation.export_counts import DropReason, ExportCounts
from stream.propagation.kafka_sender import KafkaSender
from stream.propagation.record import Record
from tests.harness.exported import spans_of
from tests.harness.reading import read_whole
from tests.harness.repository import ROOT

NOBODY = {"bootstrap.servers": "127.0.0.1:1"}
CHILD_TIMEOUT_S = 120


class Fatal:
    """librdkafka's side: it takes one record, then an error is fatal for this producer."""

    made: list["Fatal"]

    def __init__(self, _: dict[str, Any]) -> None:
        self.made.append(self)
        self._reports: list[Callable[[KafkaError | None, None], None]] = []

    def produce(self, *_: object, on_delivery: Callable[[KafkaError | None, None], None]) -> None:
        if self._reports:
            raise KafkaException(KafkaError(KafkaError._FATAL, "out of order"))
        self._reports.append(on_delivery)

    def poll(self, _: float) -> int:
        return 0

    def flush(self, _: float) -> int:
        return 0

    def purge(self) -> None:
        self._reports.pop()(KafkaError(KafkaError._PURGE_QUEUE), None)


@pytest.fixture
def time_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the time that the sender is told, to be set."""
    now_s = [100.0]
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s[0])
    return now_s


def test_after_a_fatal_error_its_records_are_refused_and_a_new_producer_takes_the_next(
    monkeypatch: pytest.MonkeyPatch, time_s: list[float]
) -> None:
    monkeypatch.setattr(kafka_sender, "Producer", Fatal)
    monkeypatch.setattr(Fatal, "made", [], raising=False)
    sender = KafkaSender(NOBODY, "t", partitioner="fnv1a", delivery=Delivery())
    one = Record(None, b"", 1)
    assert sender.send([one], wait_s=0) is True
    assert sender.send([one], wait_s=0) is False
    assert sender.counts() == ExportCounts(2, 0, {DropReason.REFUSED: 2}, 0)

    assert sender.send([one], wait_s=0) is False, "not a new producer for each record"
    assert len(Fatal.made) == 1
    time_s[0] += kafka_sender.BEGUN_AGAIN_AFTER_S
    assert sender.send([one], wait_s=0) is True
    assert len(Fatal.made) == 2
    assert sender.counts() == ExportCounts(4, 0, {DropReason.REFUSED: 3}, 1)


def test_what_is_dropped_is_said_once_in_a_while_and_without_tracing_the_log(
    caplog: pytest.LogCaptureFixture, time_s: list[float]
) -> None:
    suppressed: list[object] = []
    key = context_api._SUPPRESS_INSTRUMENTATION_KEY

    def note(_: logging.LogRecord) -> bool:
        suppressed.append(context_api.get_value(key))
        return True

    caplog.handler.addFilter(note)
    sender = KafkaSender(NOBODY, "t", partitioner="fnv1a", delivery=Delivery())
    sender.close(0)
    with caplog.at_level(logging.WARNING, logger="tailstream.propagation"):
        for _ in range(3):
            sender.send([Record(None, b"", 2)], wait_s=0)
        time_s[0] += kafka_sender.SAID_AGAIN_AFTER_S
        sender.send([Record(None, b"", 2)], wait_s=0)

    # It may also have heard by then that nobody is there.
    assert [text for text in caplog.messages if "dropped" in text] == [
        "export to topic t: 2 dropped so far, shutdown",
        "export to topic t: 8 dropped so far, shutdown",
    ]
    assert set(suppressed) == {True}


def test_a_forked_child_exports_its_own_spans_and_both_processes_end() -> None:
    with EmbeddedBroker() as broker:
        broker.create_topic("forked")
        told = told_by_forking_application(broker.address, "forked", wait_s="60")
        names = [span.name for span in spans_of(read_whole(broker.address, "forked"))]

    assert sorted(names) == ["before the fork", "in the child", "in the parent"]
    assert told == ["child: 1 of 1 exported, 0 wait", "parent: 2 of 2 exported, 0 wait"]


def test_a_fork_without_a_broker_ends_in_both_processes_and_leaves_nothing_uncounted() -> None:
    told = told_by_forking_application(NOBODY["bootstrap.servers"], "forked", wait_s="0.1")
    assert told == ["child: 0 of 1 exported, 0 wait", "parent: 0 of 2 exported, 0 wait"]


def told_by_forking_application(*arguments: str, wait_s: str) -> list[str]:
    # A process of its own: what hangs in it hangs there, and can be ended.
    ended = subprocess.run(
        [sys.executable, "-m", "tests.harness.forking_application", *arguments, wait_s],
        cwd=ROOT,
        timeout=CHILD_TIMEOUT_S,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()
