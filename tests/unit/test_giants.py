"""A trace of a million spans is decided at its limit, and nobody waits for the rest of it."""

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType

import pytest

from stream.sampling.decision import OFFSETS_BYTES_MAX, Trigger, decode
from stream.sampling.limits import Limits, Windows
from stream.sampling.record import Record
from stream.testing.core import Core, a_record, a_tick, an_error, an_ordinary
from stream.testing.spans import spans_of, trace_id_of
from stream.worker.partition import Partition
from stream.worker.transaction import Bounds
from stream.worker.worker import Worker

GIANT = 1
SPANS_MAX = 60
RECORD = a_record(0, 100, an_error(GIANT, spans=3))
LATE_BYTES = 10 * len(RECORD.fragments[0].body)
LIMITS = Limits(trace_spans_max=SPANS_MAX, late_bytes_max=LATE_BYTES, late_spans_max=120)
CORE = Core(Windows(decision_wait_ms=30), limits=LIMITS)
SMALL, HUGE = 3, 50


def giant(first_offset: int, records: int, *, spans: int, kept: bool = True) -> list[Record]:
    make = an_error if kept else an_ordinary
    return [
        a_record(offset, 100, make(GIANT, spans=spans, first_span=1 + offset * spans))
        for offset in range(first_offset, first_offset + records)
    ]


def output(partition: Partition) -> Counter[bytes]:
    """Carry all that waits; count the giant's spans."""
    found: Counter[bytes] = Counter()
    while partition.sampler.undelivered:
        plan = partition.plan(count_max=1_000, bytes_max=2 * LATE_BYTES)
        for record in plan.records:
            if record.topic == "output":
                found.update(span.span_id for span in spans_of(record.value))
        partition.committed(plan, decisions_end=None)
    return found


@pytest.mark.parametrize("spans", [SMALL, HUGE])
def test_a_kept_giant_is_decided_at_its_limit_and_every_late_span_follows_once(spans: int) -> None:
    partition = CORE.partition()
    sampler = partition.sampler
    found: Counter[bytes] = Counter()
    for at in range(0, 400, 100):
        sampler.fold(giant(at, 100, spans=spans))
        found += output(partition)
    assert sampler.accounts.limits == {"trace_spans_max": 1}
    assert len(found) == 400 * spans
    assert set(found.values()) == {1}
    at_the_limit = -(-SPANS_MAX // spans) * spans
    assert sampler.accounts.sampled == at_the_limit
    assert sampler.accounts.late_sampled == 400 * spans - at_the_limit


def test_a_dropped_giants_records_stay_small_and_cover_every_offset() -> None:
    partition = CORE.partition()
    partition.sampler.fold(giant(0, 3_000, spans=3, kept=False))
    values = []
    while partition.sampler.undelivered:
        plan = partition.plan(count_max=2, bytes_max=1)
        values += [record.value for record in plan.records if record.topic == "decisions"]
        partition.committed(plan, decisions_end=None)
    decisions = [decode(value)[0] for value in values]
    assert max(map(len, values)) < OFFSETS_BYTES_MAX + 500
    assert [one.trigger for one in decisions] == [
        Trigger.SPAN_LIMIT,
        *[Trigger.LATE] * (len(decisions) - 1),
    ]
    assert [offset for one in decisions for offset in one.offsets] == list(range(3_000))
    assert sum(one.spans for one in decisions) == 9_000
    assert partition.sampler.accounts.late_not_sampled == 9_000 - SPANS_MAX


def test_traces_that_are_cut_behind_a_giants_backlog_are_in_the_next_transaction() -> None:
    partition = CORE.partition()
    partition.sampler.fold(giant(0, 1_000, spans=3))
    ordinary = [a_record(1_000 + n, 110, an_error(100 + n)) for n in range(5)]
    partition.sampler.fold([*ordinary, a_tick(1_005, 150)])
    worker = Worker(Bounds(bytes_max=8 * LATE_BYTES))
    worker.ready(partition)
    transaction = worker.plan()
    assert transaction is not None
    carried = [one.delivered for plan in transaction.plans for one in plan.settled]
    of_others = [one for one in carried if one.first_offset >= 1_000]
    assert len(of_others) == 5
    assert worker.more
    assert [one.first_offset for one in carried if one.first_offset < 1_000] == [0, 20]


def test_the_resume_offset_waits_for_the_giants_first_late_record_that_is_not_delivered() -> None:
    partition = CORE.partition()
    sampler = partition.sampler
    sampler.fold(giant(0, 200, spans=3))
    seen = [sampler.resume()[0]]
    while sampler.undelivered:
        partition.committed(
            partition.plan(count_max=1_000, bytes_max=LATE_BYTES), decisions_end=None
        )
        seen.append(sampler.resume()[0])
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 200)
    assert len(seen) > 10


def calls_in(act: Callable[[], object]) -> int:
    """Count the Python calls that something takes: what time would tell, without a clock."""
    count = 0

    def saw(_frame: FrameType, what: str, _argument: object) -> None:
        nonlocal count
        count += what in {"call", "c_call"}

    sys.setprofile(saw)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("kept", [True, False])
def test_a_giants_last_records_take_as_many_calls_as_its_first_late_ones(*, kept: bool) -> None:
    partition = CORE.partition()
    sampler = partition.sampler

    def step(first_offset: int) -> Callable[[], object]:
        records = giant(first_offset, 200, spans=1, kept=kept)

        def fold_and_deliver() -> None:
            sampler.fold(records)
            output(partition)

        return fold_and_deliver

    calls = [calls_in(step(at)) for at in range(0, 10_000, 200)]
    # A little more at first, while its span ids are collected.
    assert max(calls[25:]) <= 1.02 * min(calls[25:])
    assert max(calls[25:]) <= 1.1 * calls[5]


def test_a_backlog_takes_as_many_calls_to_resume_from_as_none() -> None:
    partition = CORE.partition()
    sampler = partition.sampler
    sampler.fold(giant(0, 4_000, spans=3))
    assert sampler.undelivered > 300
    assert calls_in(sampler.resume) + calls_in(lambda: sampler.dead_letters_upto) < 20
    assert sampler.resume() == (0, 100)
    assert trace_id_of(GIANT) in sampler._uncommitted
