"""What librdkafka reports as fatal ends the poll thread, also where no message says it."""

import asyncio
import logging
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.kafka import poll_thread
from stream.kafka.errors import ClientEndedError
from stream.kafka.partitioner import fnv1a
from stream.kafka.poll_thread import PollThread
from stream.kafka.receive import Batch, Receiver
from stream.otlp.scan import ScanPlan


class Joining:
    """librdkafka's side: it is fenced while it joins, which only its report says."""

    def __init__(self, settings: dict[str, Any], **_: Any) -> None:
        self._report = settings["error_cb"]
        self.closed = False

    def subscribe(self, _: list[str], **__: Any) -> None:
        """Nobody answers."""

    def consume(self, _: int, __: float) -> list[Any]:
        assert not self.closed
        self._report(KafkaError(KafkaError._ALL_BROKERS_DOWN, "they come back"))
        self._report(KafkaError(KafkaError.FENCED_INSTANCE_ID, "fenced", True))
        return []

    def close(self) -> None:
        self.closed = True


class Silent(Joining):
    """It can never go on, which only its log says."""

    def __init__(self, settings: dict[str, Any], *, logger: Any) -> None:
        super().__init__(settings)
        self._logger = logger
        self._polls = 0

    def consume(self, _: int, __: float) -> list[Any]:
        assert not self.closed
        self._polls += 1
        assert self._polls < 10
        self._logger.log(logging.ERROR, "%s [%s] %s", "FAIL", "c", "they come back")
        if self._polls > 1:
            self._logger.log(logging.CRITICAL, "%s [%s] %s", "FATAL", "c", "no such group")
        return []


class Told(Joining):
    """It can never go on, which a message says, and no report why."""

    def consume(self, _: int, __: float) -> list[Any]:
        return [Fatal()]

    def poll(self, _: float) -> None:
        """Serve no report: there is none."""


class Fatal:
    """What `consume` returns then."""

    def error(self) -> KafkaError:
        return KafkaError(KafkaError._FATAL, "Fatal error: no such group", True)

    def partition(self) -> int:
        return -1


class Owner:
    """Notes why the thread could not go on."""

    def __init__(self) -> None:
        self.problems: list[BaseException] = []

    def deliver(self, batches: list[Batch]) -> None:
        raise AssertionError(batches)

    def held(self) -> bool:
        return False

    def failed(self, problem: BaseException) -> None:
        self.problems.append(problem)

    def warned(self, error: Any) -> None:
        raise AssertionError(error)

    async def assigned(self, epochs: dict[int, int]) -> None:
        raise AssertionError(epochs)

    async def revoked(self, partitions: list[int]) -> None:
        raise AssertionError(partitions)

    async def lost(self, partitions: list[int]) -> None:
        raise AssertionError(partitions)


def test_a_member_that_is_fenced_while_it_joins_ends_instead_of_waiting_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (problem,) = problems_of(Joining, monkeypatch)
    assert isinstance(problem, KafkaException)
    assert problem.args[0].code() == KafkaError.FENCED_INSTANCE_ID


@pytest.mark.parametrize(
    ("client", "said"),
    [(Silent, "FATAL [c] no such group"), (Told, "Fatal error: no such group")],
    ids=["its log alone says it", "nobody says why"],
)
def test_a_client_that_ended_ends_the_thread_however_little_is_said(
    monkeypatch: pytest.MonkeyPatch, client: type[Joining], said: str
) -> None:
    monkeypatch.setattr(poll_thread, "REPORT_WAIT_S", 0.0)
    (problem,) = problems_of(client, monkeypatch)
    assert isinstance(problem, ClientEndedError)
    assert str(problem) == said


def problems_of(client: type[Joining], monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    monkeypatch.setattr(poll_thread, "Consumer", client)
    owner = Owner()
    loop = asyncio.new_event_loop()
    receiver = Receiver(ScanPlan(), fnv1a)
    thread = PollThread({"group.id": "g"}, "spans", owner=owner, receiver=receiver, loop=loop)
    thread.run()
    loop.close()
    return owner.problems
