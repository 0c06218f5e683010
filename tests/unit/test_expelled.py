"""Who was expelled from the group and is back under another id does not finish its old work.

librdkafka tells such a member to revoke, not that it has lost: its side is played here.
"""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from stream.kafka.partitioner import fnv1a
from stream.kafka.poll_thread import PollThread
from stream.kafka.receive import Batch, Receiver
from stream.otlp.scan import ScanPlan


@dataclass
class Client:
    """What a rebalance callback is given: this member, in this generation."""

    member_id: str
    generation: int
    unassigned: list[int] = field(default_factory=list)

    def memberid(self) -> str:
        return self.member_id

    def consumer_group_metadata(self) -> tuple[str, int]:
        return self.member_id, self.generation

    def incremental_assign(self, partitions: list[Any]) -> None:
        """Nothing is read here."""

    def incremental_unassign(self, partitions: list[Any]) -> None:
        self.unassigned += [one.partition for one in partitions]

    def resume(self, partitions: list[Any]) -> None:
        """Nothing was paused."""


class Owner:
    """Notes what it is told, with the metadata that its transactions would have then."""

    def __init__(self) -> None:
        self.thread: PollThread | None = None
        self.told: list[tuple[str, list[int], Any]] = []

    def deliver(self, batches: list[Batch]) -> None:
        raise AssertionError(batches)

    def held(self) -> bool:
        return False

    def failed(self, problem: BaseException) -> None:
        raise problem

    def warned(self, error: Any) -> None:
        raise AssertionError(error)

    async def assigned(self, epochs: dict[int, int]) -> None:
        self._note("assigned", epochs)
        assert self.thread is not None
        for number, epoch in epochs.items():
            self.thread.start_partition(number, epoch, 0)

    async def revoked(self, partitions: list[int]) -> None:
        self._note("revoked", partitions)

    async def lost(self, partitions: list[int]) -> None:
        self._note("lost", partitions)

    def _note(self, what: str, numbers: Any) -> None:
        assert self.thread is not None
        self.told.append((what, sorted(numbers), self.thread.group_metadata))


@pytest.fixture
def owner() -> Iterator[Owner]:
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()
    owner = Owner()
    settings = {"group.id": "group", "bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    owner.thread = PollThread(
        settings, "spans", owner=owner, receiver=Receiver(ScanPlan(), fnv1a), loop=loop
    )
    yield owner
    loop.call_soon_threadsafe(loop.stop)
    running.join()
    loop.close()
    owner.thread._consumer.close()


def partitions(*numbers: int) -> list[TopicPartition]:
    return [TopicPartition("spans", number) for number in numbers]


def assign(owner: Owner, client: Client, *numbers: int) -> None:
    assert owner.thread is not None
    owner.thread._on_assign(client, partitions(*numbers))
    while owner.thread._requests:
        owner.thread._requests.popleft()(client)


def revoke(owner: Owner, client: Client, *numbers: int) -> None:
    assert owner.thread is not None
    owner.thread._on_revoke(client, partitions(*numbers))


def test_a_member_that_stayed_finishes_its_work_in_the_new_generation(owner: Owner) -> None:
    assign(owner, Client("a", 1), 5, 6)
    after = Client("a", 2)
    revoke(owner, after, 5)
    assert owner.told[1:] == [("revoked", [5], ("a", 2))]
    assert after.unassigned == [5]


def test_an_expelled_member_loses_all_before_its_new_generation_can_vouch_for_it(
    owner: Owner,
) -> None:
    assign(owner, Client("a", 1), 5, 6, 7)
    back = Client("b", 4)
    revoke(owner, back, 5, 6)
    assert owner.told[1:] == [("lost", [5, 6, 7], ("a", 1))]
    assert back.unassigned == [5, 6, 7]
    assert owner.thread is not None
    assert owner.thread.group_metadata == ("b", 4)


def test_what_an_expelled_member_is_to_keep_begins_anew_with_the_next_assignment(
    owner: Owner,
) -> None:
    assign(owner, Client("a", 1), 5, 6, 7)
    back = Client("b", 4)
    revoke(owner, back, 5, 6)
    assign(owner, back, 1)
    assert owner.told[2:] == [("assigned", [1, 7], ("b", 4))]
    assign(owner, back, 2)
    assert owner.told[3:] == [("assigned", [2], ("b", 4))]


def test_an_expelled_member_that_is_only_given_more_begins_anew_with_all(owner: Owner) -> None:
    assign(owner, Client("a", 1), 5, 6)
    assign(owner, Client("b", 4), 1)
    assert owner.told[1:] == [("lost", [5, 6], ("a", 1)), ("assigned", [1, 5, 6], ("b", 4))]


def test_what_a_real_group_tells_an_expelled_static_member_ends_in_no_last_transaction(
    owner: Owner,
) -> None:
    """As noted from Kafka 4.4 of one that was stopped before it could join again."""
    assign(owner, Client("a", 1), 0, 1, 2, 3)
    revoke(owner, Client("a", 2), 0, 1)
    assign(owner, Client("", 2))
    assert owner.told[2:] == [("lost", [2, 3], ("a", 2)), ("assigned", [], ("", 2))]
    revoke(owner, Client("b", 4), 2, 3)
    assign(owner, Client("b", 4))
    assign(owner, Client("b", 5), 2, 3)
    # Of what is not ours any more the host knows nothing, so there is nothing to finish.
    assert [(what, numbers) for what, numbers, _ in owner.told[4:]] == [
        ("revoked", [2, 3]),
        ("assigned", []),
        ("assigned", [2, 3]),
    ]


def test_what_it_was_to_keep_and_is_asked_for_after_all_does_not_begin_anew(owner: Owner) -> None:
    assign(owner, Client("a", 1), 5, 6)
    back = Client("b", 4)
    revoke(owner, back, 5)
    revoke(owner, back, 6)
    assign(owner, back, 1)
    assert owner.told[-1] == ("assigned", [1], ("b", 4))


def test_what_the_group_says_tells_when_it_last_divided_its_partitions(owner: Owner) -> None:
    assert owner.thread is not None
    began_s = owner.thread.divided_s
    assign(owner, Client("a", 1), 5)
    assigned_s = owner.thread.divided_s
    revoke(owner, Client("a", 2), 5)

    assert began_s < assigned_s < owner.thread.divided_s
