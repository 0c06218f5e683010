"""Above `storage.disk` the oldest open traces are decided early, on what is known of them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stream.sampling.decision import Decision, Trigger, Verdict
from stream.sampling.delivery import Delivery, Settled
from stream.sampling.limits import Windows
from stream.sampling.stores import KnownDecision
from stream.sampling.tail_sampler import TailSampler
from stream.state.disk import FILES_SHARE
from stream.state.rocksdb import BUCKET_OFFSETS
from stream.state.storage import Storage
from stream.testing.core import Core, a_record, an_error, an_ordinary
from stream.testing.spans import trace_id_of

CORE = Core(Windows(decision_wait_ms=1_000_000))
SIZE = len(a_record(0, 100, an_error(1)).fragments[0].body)
BUCKET_BYTES = SIZE * BUCKET_OFFSETS
KNOWN = KnownDecision(Verdict.SAMPLED, "errors", Trigger.DECISION_WAIT, 0, upto=10, time_ms=1000)
STEP = BUCKET_OFFSETS // 8  # records are so far apart: eight to a bucket


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    opened = Storage(
        tmp_path,
        memory_bytes=8 << 20,
        spans="rocksdb",
        decisions="memory",
        retention_ms=600_000,
        disk_bytes=FILES_SHARE * 24 * SIZE,
    )
    yield opened
    opened.close()


def a_sampler(storage: Storage, number: int = 0) -> TailSampler:
    return CORE.sampler(spans=storage.open_spans(number), budget=storage.traces)


def fold(sampler: TailSampler, first: int, last: int, *, error: bool = True) -> None:
    for number in range(first, last):
        spans = (an_error if error else an_ordinary)(number)
        sampler.fold([a_record(number * STEP, 100 + number, spans)])


def cut(sampler: TailSampler) -> list[Decision]:
    taken = sampler.take(count_max=1_000, bytes_max=1 << 30)
    sampler.put_back()
    return [one.decision for one in taken if isinstance(one, Delivery)]


def deliver(sampler: TailSampler) -> None:
    taken = sampler.take(count_max=1_000, bytes_max=1 << 30)
    sampler.settle([Settled(one) for one in taken])


def test_the_oldest_are_cut_so_that_whole_buckets_can_go(storage: Storage) -> None:
    sampler = a_sampler(storage)
    fold(sampler, 0, 24)
    assert cut(sampler) == []
    fold(sampler, 24, 25)
    found = cut(sampler)
    assert [one.trace_id for one in found] == [trace_id_of(number) for number in range(8)]
    assert {one.trigger for one in found} == {Trigger.DISK_LIMIT}
    assert {one.verdict for one in found} == {Verdict.SAMPLED}
    assert sampler.accounts.limits == {"storage_disk": 8}
    before = storage.held_bytes()
    deliver(sampler)
    assert sampler.resume()[0] == 8 * STEP
    assert sampler._spans.held_bytes()["rocksdb"] == 17 * SIZE
    assert before["undelivered"] > storage.held_bytes()["undelivered"] == 0


def test_what_holds_the_disk_undelivered_cuts_no_more_and_makes_reading_wait(
    storage: Storage,
) -> None:
    sampler = a_sampler(storage)
    fold(sampler, 0, 25)
    assert storage.behind()
    for _ in range(3):
        sampler.fold([])
    assert (sampler.undelivered, sampler.open_traces) == (8, 17)
    fold(sampler, 25, 32)
    assert (sampler.undelivered, sampler.open_traces) == (8, 24)
    deliver(sampler)
    assert not storage.behind()
    fold(sampler, 32, 33)
    assert (sampler.undelivered, sampler.open_traces) == (8, 17)


def test_the_partition_above_its_share_is_cut(storage: Storage) -> None:
    hot, quiet = a_sampler(storage, 0), a_sampler(storage, 1)
    fold(quiet, 0, 8)
    fold(hot, 0, 20)
    fold(quiet, 8, 9)
    assert (quiet.undelivered, hot.undelivered) == (0, 8)


def test_decisions_on_disk_leave_the_less_to_spans(tmp_path: Path) -> None:
    storage = Storage(
        tmp_path,
        memory_bytes=8 << 20,
        spans="rocksdb",
        decisions="rocksdb",
        retention_ms=600_000,
        disk_bytes=FILES_SHARE * 24 * SIZE,
    )
    decisions = storage.open_decisions(0)
    sampler = CORE.sampler(spans=storage.open_spans(0), decisions=decisions, budget=storage.traces)
    fold(sampler, 0, 20)
    assert sampler.undelivered == 0
    decisions.put([(bytes(16), replace(KNOWN, span_ids=bytes(20 * SIZE)))])
    fold(sampler, 20, 21)
    assert (sampler.undelivered, sampler.open_traces) == (21, 0)
    sampler._spans.close()
    decisions.close()
    storage.close()


def test_a_limit_smaller_than_what_one_record_holds_ends_with_nothing_open(tmp_path: Path) -> None:
    storage = Storage(
        tmp_path,
        memory_bytes=8 << 20,
        spans="spill",
        decisions="spill",
        retention_ms=600_000,
        disk_bytes=1,
    )
    sampler = a_sampler(storage)
    storage._bodies.limit_bytes = 0  # everything spills
    fold(sampler, 0, 3)
    assert (sampler.open_traces, sampler.undelivered) == (0, 3)
    deliver(sampler)
    assert not storage.behind()
    sampler._spans.close()
    storage.close()
