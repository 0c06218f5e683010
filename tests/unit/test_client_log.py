"""librdkafka's lines in our log: an outage is told, and not dozens of times a second."""

import logging

import pytest

from stream.kafka.client_log import REPEATED_AFTER_S, Unrepeated

REFUSED = (
    "FAIL [w#consumer-{client}] [thrd:a:9092/1]: a:9092/1: Connect failed: refused "
    "(after {ms}ms in state CONNECT)"
)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> "Log":
    log = Log()
    monkeypatch.setattr("stream.clock.monotonic_s", lambda: log.now_s)
    return log


class Log:
    """What comes through the filter, at times that the test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.lines: list[str] = []
        self._filter = Unrepeated()

    def __call__(self, line: str, level: int = logging.ERROR) -> None:
        record = logging.LogRecord("x", level, "", 0, "%s", (line,), None)
        if self._filter.filter(record):
            self.lines.append(record.getMessage())


def test_the_same_of_another_client_or_attempt_is_said_once_and_counted(said: Log) -> None:
    for client in range(40):
        said(REFUSED.format(client=client, ms=client))
    said.now_s += REPEATED_AFTER_S
    said(REFUSED.format(client=7, ms=0))

    first, again = REFUSED.format(client=0, ms=0), REFUSED.format(client=7, ms=0)
    assert said.lines == [first, f"{again} (39 alike before)"]


def test_what_differs_is_said(said: Log) -> None:
    said("SASL authentication error: wrong password")
    said(REFUSED.format(client=1, ms=0))
    said(REFUSED.format(client=1, ms=0).replace("a:9092/1", "b:9092/2"))

    assert len(said.lines) == 3


def test_what_somebody_asked_for_comes_whole(said: Log) -> None:
    for _ in range(3):
        said("SEND [w#consumer-1] Fetch", logging.DEBUG)

    assert len(said.lines) == 3


def test_lines_that_are_all_different_do_not_fill_the_memory(said: Log) -> None:
    for number in range(5_000):
        said(f"line {number}")

    assert len(said.lines) == 5_000
    assert len(said._filter._said) <= 1_000
