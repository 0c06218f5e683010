"""Fixtures of the tests that need a real Apache Kafka."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.broker import Broker, NoBrokerError, running_broker
from tests.harness.topics import Topics, topics_of_a_test

LOG_LINES_SHOWN = 80


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Give the bootstrap address of a real Kafka that all tests share; without one, fail."""
    with _broker(own=False) as broker:
        yield broker.bootstrap


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a Kafka that the test may stop, kill and start again; a failure shows its log's end."""
    with _broker(own=True) as broker:
        yield broker
        broker.save_log(tmp_path)
        for log in tmp_path.glob("broker.log"):
            print("".join(log.read_text().splitlines(keepends=True)[-LOG_LINES_SHOWN:]))


@pytest.fixture
def topics(kafka: str) -> Iterator[Topics]:
    """Give topics that no other test uses."""
    with topics_of_a_test(kafka) as fresh:
        yield fresh


@contextmanager
def _broker(*, own: bool) -> Iterator[Broker]:
    try:
        with running_broker(own=own) as broker:
            yield broker
    except NoBrokerError as none:
        pytest.fail(str(none), pytrace=False)
