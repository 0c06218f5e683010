"""The core: which spans a verdict is taken on, and what becomes of those that come too late."""

from itertools import permutations

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.sampling.decision import Clock, Decision, Trigger, Verdict
from stream.sampling.delivery import DeadLetter, Delivery, Settled, Undelivered
from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.evaluate import Policies
from stream.sampling.record import NO_TIMESTAMP
from stream.sampling.tail_sampler import TailSampler
from stream.state.memory import MemorySpanStore
from stream.testing.core import (
    RULES,
    Core,
    Rules,
    a_bad_record,
    a_record,
    a_tick,
    an_error,
    an_ordinary,
)
from stream.testing.spans import a_span, span_id_of, trace_id_of
from stream.worker.restore import ResumePoint

CORE = Core()  # a decision wait of 30 ms
AFTER_ROOT = Core(Windows(decision_wait_ms=30, decision_wait_after_root_ms=5))


def child(trace: int, span: int) -> list[Span]:
    return [
        a_span(trace_id=trace_id_of(trace), span_id=span_id_of(span), parent_span_id=span_id_of(99))
    ]


def taken(sampler: TailSampler, count: int = 1_000) -> list[Undelivered]:
    return sampler.take(count_max=count, bytes_max=1 << 30)


def cut(sampler: TailSampler) -> list[Decision]:
    """Take what was cut, and give it back."""
    decisions = [one.decision for one in taken(sampler) if isinstance(one, Delivery)]
    sampler.put_back()
    return decisions


def deliver(sampler: TailSampler, count: int = 1_000) -> list[Undelivered]:
    delivered = taken(sampler, count)
    sampler.settle([Settled(one) for one in delivered])
    return delivered


def numbers(decisions: list[Decision]) -> list[int]:
    return [int.from_bytes(one.trace_id[1:], "big") for one in decisions]


def test_traces_are_cut_in_the_order_of_deadline_then_first_offset() -> None:
    sampler = AFTER_ROOT.sampler()
    sampler.fold(
        [
            a_record(0, 100, child(1, 1)),  # due at 130
            a_record(1, 100, child(2, 1)),  # due at 130, later in the log
            a_record(2, 101, an_error(3)),  # a root: due at 106
            a_record(3, 105, child(4, 1)),  # due at 135
            a_tick(4, 500),
        ]
    )
    assert numbers(cut(sampler)) == [3, 1, 2, 4]


def test_a_record_cuts_what_is_due_at_its_own_time_before_it_is_folded() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, an_ordinary(1)), a_record(1, 130, an_error(1, first_span=2))])
    (first, late) = cut(sampler)
    assert (first.verdict, first.offsets, first.upto) == (Verdict.NOT_SAMPLED, [0], 1)
    assert (late.verdict, late.trigger, late.offsets) == (Verdict.NOT_SAMPLED, Trigger.LATE, [1])


def test_a_record_a_millisecond_before_the_deadline_still_counts() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, an_ordinary(1)), a_record(1, 129, an_error(1, first_span=2))])
    assert cut(sampler) == []
    sampler.fold([a_tick(2, 130)])
    (decision,) = cut(sampler)
    assert (decision.verdict, decision.offsets) == (Verdict.SAMPLED, [0, 1])
    assert (decision.trigger, decision.clock) == (Trigger.DECISION_WAIT, Clock.LOG)
    assert (decision.upto, decision.time_ms, decision.spans, decision.errors) == (2, 130, 2, 1)


def test_a_root_span_brings_the_deadline_forward_but_never_back() -> None:
    sampler = AFTER_ROOT.sampler()
    sampler.fold([a_record(0, 100, child(1, 1)), a_record(1, 128, an_error(1, first_span=2))])
    sampler.fold([a_record(2, 100, an_error(2)), a_tick(3, 130)])
    (decision,) = cut(sampler)
    assert (numbers([decision]), decision.trigger) == ([1], Trigger.DECISION_WAIT)
    sampler.fold([a_tick(4, 133)])
    (_, hastened) = cut(sampler)
    assert (numbers([hastened]), hastened.trigger) == ([2], Trigger.ROOT_RECEIVED)
    assert hastened.complete


def test_records_below_the_position_are_not_folded_again() -> None:
    sampler = CORE.sampler()
    records = [a_record(0, 100, an_error(1)), a_record(1, 101, an_error(2))]
    sampler.fold(records)
    sampler.fold(records)
    assert (sampler.accounts.received, sampler.position) == (2, 2)


def test_late_spans_follow_the_verdict_also_before_it_is_delivered() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, an_error(1)), a_record(1, 100, an_ordinary(2)), a_tick(2, 130)])
    sampler.fold([a_record(3, 130, an_error(2, first_span=2))])
    deliver(sampler)
    sampler.fold([a_record(4, 140, an_ordinary(1, first_span=2))])
    (late,) = cut(sampler)
    assert (late.verdict, late.policy, late.trigger) == (Verdict.SAMPLED, "errors", Trigger.LATE)
    deliver(sampler)
    accounts = sampler.accounts
    assert (accounts.sampled, accounts.not_sampled) == (1, 1)
    assert (accounts.late_sampled, accounts.late_not_sampled) == (1, 1)


def test_late_spans_share_a_delivery_until_it_is_taken_and_raise_its_upto() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, an_error(1)), a_tick(1, 130)])
    deliver(sampler)
    sampler.fold([a_record(i, 129 + i, an_error(1, first_span=i)) for i in (2, 3)])
    (first,) = taken(sampler)
    assert isinstance(first, Delivery)
    sampler.fold([a_record(4, 131, an_error(1, first_span=4))])
    sampler.settle([Settled(first)])
    (second,) = cut(sampler)
    assert (first.decision.offsets, first.decision.upto) == ([2, 3], 4)
    assert (first.decision.errors, first.decision.time_ms) == (2, 132)
    assert first.body_bytes > 0
    assert (second.offsets, second.upto) == ([4], 5)


def test_a_replay_below_upto_changes_nothing_but_the_count_of_replayed_spans() -> None:
    decisions = CORE.decision_store()
    first = CORE.sampler(decisions=decisions)
    records = [
        a_record(0, 100, an_error(1, spans=2)),
        a_record(1, 101, an_ordinary(2)),
        a_tick(2, 200),
        a_record(3, 200, an_error(1, first_span=9)),
    ]
    first.fold(records)
    deliver(first)

    again = CORE.sampler(decisions=decisions)
    again.fold(records)
    assert (again.undelivered, again.open_traces, again.open_spans) == (0, 0, 0)
    assert (again.accounts.received, again.accounts.replayed) == (0, 4)
    assert again.resume() == (4, 200)


def test_an_abort_puts_back_deliveries_in_their_order_and_verdict_cut_and_lateness_stand() -> None:
    sampler = CORE.sampler()
    sampler.fold(
        [a_record(0, 100, an_ordinary(1)), a_record(1, 100, an_ordinary(2)), a_tick(2, 130)]
    )
    before = cut(sampler)
    in_flight = taken(sampler, count=2)
    sampler.fold([a_record(3, 131, an_error(1, first_span=2)), a_record(4, 131, an_error(3))])
    sampler.put_back()
    sampler.fold([a_tick(5, 200)])
    after = cut(sampler)
    assert after[:2] == before
    assert [(one.trigger, one.verdict) for one in after[2:]] == [
        (Trigger.LATE, Verdict.NOT_SAMPLED),
        (Trigger.DECISION_WAIT, Verdict.SAMPLED),
    ]
    assert taken(sampler, count=2) == in_flight


def test_late_spans_of_a_delivery_in_flight_come_after_it_when_it_is_put_back() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, an_error(1)), a_tick(1, 130)])
    deliver(sampler)
    sampler.fold([a_record(2, 131, an_error(1, first_span=2))])
    taken(sampler)
    sampler.fold([a_record(3, 131, an_error(1, first_span=3))])
    sampler.put_back()
    assert [one.offsets for one in cut(sampler)] == [[2], [3]]


def test_the_span_limit_cuts_a_trace_with_its_last_span_and_what_follows_is_late() -> None:
    sampler = Core(limits=Limits(trace_spans_max=3)).sampler()
    sampler.fold([a_record(0, 100, an_error(1, spans=2)), a_record(1, 100, an_ordinary(1))])
    sampler.fold([a_record(2, 100, an_error(1, first_span=7))])
    first, late = cut(sampler)
    assert (first.trigger, first.spans, first.upto) == (Trigger.SPAN_LIMIT, 3, 2)
    assert (late.trigger, late.offsets) == (Trigger.LATE, [2])
    assert sampler.accounts.limits == {"trace_spans_max": 1}


def test_the_bytes_limit_cuts_a_trace() -> None:
    record = a_record(0, 100, an_error(1))
    size = len(record.fragments[0].body)
    sampler = Core(limits=Limits(trace_bytes_max=size + 1)).sampler()
    sampler.fold([record])
    assert cut(sampler) == []
    sampler.fold([a_record(1, 100, an_error(1, first_span=2))])
    (decision,) = cut(sampler)
    assert (decision.trigger, decision.upto) == (Trigger.TRACE_BYTES_LIMIT, 2)
    assert sampler.accounts.limits == {"trace_bytes_max": 1}


def test_a_trace_above_the_maximum_size_is_cut_and_not_sampled_and_neither_is_what_follows() -> (
    None
):
    record = a_record(0, 100, an_error(1))
    size = len(record.fragments[0].body)
    kept = Policies([AlwaysSample("all")], maximum_trace_size_bytes=size)
    sampler = Core(rules=Rules(kept, RULES.plan), limits=Limits(trace_spans_max=2)).sampler()
    sampler.fold([record])
    assert cut(sampler) == []
    sampler.fold([a_record(1, 100, an_error(1, first_span=2))])
    sampler.fold([a_record(2, 100, an_error(1, first_span=3))])
    first, late = cut(sampler)
    assert (first.verdict, first.policy) == (Verdict.NOT_SAMPLED, "")
    assert (first.trigger, first.spans, first.upto) == (Trigger.TRACE_BYTES_LIMIT, 2, 2)
    assert (late.verdict, late.trigger, late.offsets) == (Verdict.NOT_SAMPLED, Trigger.LATE, [2])
    assert sampler.accounts.limits == {"maximum_trace_size_bytes": 1}
    assert not sampler.accounts.votes


def test_overload_cuts_the_oldest_open_trace() -> None:
    sampler = CORE.sampler(budget=OpenTracesBudget(limit=2))
    sampler.fold([a_record(i, 100 + i, an_error(i + 1)) for i in range(3)])
    (decision,) = cut(sampler)
    assert (numbers([decision]), decision.trigger, decision.upto) == ([1], Trigger.OVERLOAD, 2)
    assert (sampler.open_traces, sampler.accounts.limits) == (2, {"open_traces_max": 1})


def test_overload_in_a_record_that_holds_the_oldest_trace_counts_each_of_its_fragments_once() -> (
    None
):
    for before, upto, offsets in ((True, 2, [0, 1]), (False, 1, [0])):
        sampler = CORE.sampler(budget=OpenTracesBudget(limit=1))
        of_the_oldest = an_error(1, first_span=5)
        both = [of_the_oldest, an_error(2)] if before else [an_error(2), of_the_oldest]
        sampler.fold([a_record(0, 100, an_error(1)), a_record(1, 100, *both)])
        first, *late = cut(sampler)
        assert (first.trigger, first.upto, first.offsets) == (Trigger.OVERLOAD, upto, offsets)
        assert [(one.trigger, one.offsets) for one in late] == (
            [] if before else [(Trigger.LATE, [1])]
        )
        assert sum(one.spans for one in (first, *late)) == 2


def test_the_budget_of_open_traces_is_shared_and_given_back() -> None:
    budget = OpenTracesBudget(limit=10)
    samplers = [CORE.sampler(budget=budget) for _ in range(3)]
    for sampler in samplers:
        sampler.fold([a_record(0, 100, an_error(1)), a_record(1, 100, an_error(2))])
    assert budget.used == 6
    samplers[0].fold([a_tick(2, 130)])
    samplers[1].release()
    assert budget.used == 2


def test_a_partition_does_not_pay_with_a_trace_that_it_has_just_opened() -> None:
    budget = OpenTracesBudget(limit=1)
    full, other = CORE.sampler(budget=budget), CORE.sampler(budget=budget)
    full.fold([a_record(0, 100, an_error(1))])
    other.fold([a_record(0, 100, an_error(2))])
    assert (full.open_traces, other.open_traces) == (1, 1)


def test_the_cut_offset_is_that_of_the_record_whose_time_cut() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, an_error(1)), a_tick(7, 130)])  # a gap: markers, aborted records
    assert [one.upto for one in cut(sampler)] == [7]


def test_a_trace_was_due_at_its_deadline_or_when_a_limit_was_reached() -> None:
    sampler = Core(Windows(decision_wait_ms=30), Limits(trace_spans_max=3)).sampler()
    sampler.fold([a_record(0, 100, an_error(1)), a_record(1, 110, an_error(2))])
    sampler.fold([a_record(2, 112, an_error(2, first_span=2, spans=2)), a_tick(3, 900)])
    due = {one.decision.trigger: one.due_ms for one in taken(sampler) if isinstance(one, Delivery)}
    assert due == {Trigger.SPAN_LIMIT: 112, Trigger.DECISION_WAIT: 130}


def test_a_trace_is_the_sum_of_its_fragments_in_any_order() -> None:
    fragments = [
        [a_span(span_id=span_id_of(1), start_ns=5_000, end_ns=9_000)],
        [a_span(span_id=span_id_of(2), parent_span_id=b"p" * 8, start_ns=2_000, end_ns=4_000)],
        [a_span(span_id=span_id_of(3), parent_span_id=b"p" * 8, start_ns=7_000, end_ns=12_000)],
    ]
    for order in permutations(fragments):
        sampler = CORE.sampler()
        sampler.fold([*(a_record(i, 100, one) for i, one in enumerate(order)), a_tick(3, 130)])
        (decision,) = cut(sampler)
        assert (decision.duration_us, decision.spans, decision.complete) == (10, 3, True)


def test_bodies_are_let_go_when_their_trace_is_dropped_or_delivered() -> None:
    spans = MemorySpanStore()
    sampler = CORE.sampler(spans=spans)
    sampler.fold([a_record(0, 100, an_ordinary(1)), a_record(1, 100, an_error(2))])
    assert spans.bodies == 2
    sampler.fold([a_tick(2, 130)])
    assert spans.bodies == 1  # the dropped one is gone, undelivered as it is
    sampler.fold([a_record(3, 130, an_ordinary(3)), a_tick(4, 160)])
    assert spans.bodies == 1  # opened and dropped in one poll: never stored
    deliver(sampler)
    assert spans.bodies == 0


def test_bodies_of_the_undelivered_stay_however_far_the_position_is() -> None:
    spans = MemorySpanStore()
    sampler = CORE.sampler(spans=spans)
    sampler.fold([a_record(0, 100, an_error(1)), a_record(1, 100, an_error(2))])
    sampler.fold([a_tick(900_000, 130)])
    deliver(sampler, count=1)
    assert spans.get(trace_id_of(2), [1])


def test_the_wall_clock_cuts_an_idle_partition_at_deadline_plus_grace_not_before() -> None:
    sampler = Core(Windows(decision_wait_ms=30, idle_grace_ms=7)).sampler()
    sampler.fold([a_record(0, 100, an_error(1))])
    assert not sampler.due_by(136)
    sampler.idle(wall_ms=136, position=5)
    sampler.idle(wall_ms=136, position=3)
    assert (cut(sampler), sampler.position) == ([], 5)
    assert sampler.due_by(137)
    sampler.idle(wall_ms=137, position=5)
    (decision,) = cut(sampler)
    assert (decision.clock, decision.trigger) == (Clock.WALL, Trigger.DECISION_WAIT)
    assert (decision.upto, decision.time_ms) == (5, 100)


def test_the_wall_clock_never_raises_the_partition_time() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, an_error(1))])
    sampler.idle(wall_ms=1_000_000, position=1)
    assert sampler.time_ms == 100
    sampler.fold([a_record(1, 105, an_error(2)), a_tick(2, 134)])
    assert sampler.open_traces == 1
    sampler.fold([a_tick(3, 135)])
    assert sampler.open_traces == 0


def test_a_record_without_a_timestamp_leaves_the_time_as_it_is() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, an_error(1)), a_record(1, NO_TIMESTAMP, an_error(2))])
    assert (sampler.time_ms, sampler.position, sampler.open_traces) == (100, 2, 2)


def test_a_timestamp_ahead_of_the_wall_clock_is_clamped_and_counted() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, an_error(1))], wall_ms=110)
    sampler.fold([a_record(1, 9_000, an_error(2))], wall_ms=110)
    assert (sampler.time_ms, sampler.open_traces) == (110, 2)
    assert sampler.accounts.records == {"clamped": 1}
    sampler.fold([a_record(2, 9_000, an_error(2, first_span=2))], wall_ms=105)
    assert sampler.time_ms == 110


def test_a_dead_letter_holds_the_resume_offset_until_it_is_delivered() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_bad_record(0, 100), a_tick(1, 110), a_bad_record(2, 120)])
    assert sampler.resume() == (0, 100)
    (first,) = deliver(sampler, count=1)
    assert isinstance(first, DeadLetter)
    assert (sampler.resume(), sampler.dead_letters_upto) == ((2, 120), 2)
    deliver(sampler)
    assert (sampler.resume(), sampler.dead_letters_upto) == ((3, 120), 3)
    assert (sampler.accounts.dead_lettered, sampler.open_spans) == (2, 0)


def test_dead_letters_of_one_record_are_delivered_together() -> None:
    no_ids = [a_span(trace_id=b"\x01"), a_span(span_id=bytes(8))]
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, no_ids)])
    assert sampler.undelivered == 2
    assert len(deliver(sampler, count=1)) == 2


def test_dead_letters_upto_never_falls_behind_where_it_started() -> None:
    sampler = CORE.sampler(point=ResumePoint(0, 0, 0, 0, 7, lost=0, decisions_missing=0))
    assert sampler.dead_letters_upto == 7
    sampler.fold([a_bad_record(3, 100), a_bad_record(7, 100)])
    assert (sampler.dead_letters_upto, sampler.undelivered) == (7, 1)
    assert (sampler.accounts.replayed, sampler.accounts.received) == (1, 1)


def test_a_decision_outlives_its_retention_while_late_spans_of_its_trace_are_undelivered() -> None:
    core = Core(Windows(decision_wait_ms=30, decision_retention_ms=60))
    decisions = core.decision_store()
    sampler = core.sampler(decisions=decisions)
    sampler.fold([a_record(0, 100, an_error(1)), a_record(1, 101, an_error(2)), a_tick(2, 140)])
    deliver(sampler, count=1)
    of_2 = taken(sampler)
    sampler.fold([a_record(3, 150, an_error(1, first_span=2)), a_tick(4, 9_000)])
    sampler.settle([Settled(one) for one in of_2])
    assert decisions.get(trace_id_of(1)) is not None


def test_late_spans_follow_the_new_verdict_of_a_trace_whose_first_one_was_forgotten() -> None:
    sampler = Core(Windows(decision_wait_ms=30, decision_retention_ms=40)).sampler()
    sampler.fold([a_record(0, 0, an_ordinary(1)), a_tick(1, 31)])
    deliver(sampler)
    sampler.fold([a_bad_record(2, 32), a_record(3, 200, an_ordinary(1, first_span=2))])
    deliver(sampler, 1)  # so the decision is forgotten while the late span waits
    sampler.fold(
        [
            a_record(4, 201, an_error(1, first_span=3)),
            a_tick(5, 240),
            a_record(6, 241, an_ordinary(1, first_span=4)),
        ]
    )
    deliver(sampler)
    deliver(sampler)
    accounts = sampler.accounts
    assert (accounts.late_not_sampled, accounts.sampled, accounts.late_sampled) == (1, 1, 1)


def test_every_kind_of_record_moves_the_time_and_odd_ones_are_counted() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, an_error(1)), a_tick(1, 130)])
    assert (sampler.open_traces, sampler.accounts.records) == (0, {"skipped": 1})


def test_the_resume_offset_is_the_first_undecided_or_undelivered_record() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(i, 100 + i, an_error(i)) for i in range(4)])
    assert sampler.resume() == (0, 100)
    sampler.fold([a_record(4, 131, an_error(9))])
    assert sampler.resume() == (0, 100)
    taken(sampler)
    assert sampler.resume() == (2, 102)
    sampler.fold([a_record(5, 131, an_error(0, first_span=2))])
    sampler.fold([a_tick(6, 500)])
    sampler.put_back()
    deliver(sampler, count=2)  # the traces cut first
    assert sampler.resume() == (2, 102)
    deliver(sampler, count=3)  # the late span at 5, and two more
    assert sampler.resume() == (4, 131)
    deliver(sampler)
    assert sampler.resume() == (7, 500)


def test_release_counts_what_is_open_as_released() -> None:
    sampler = CORE.sampler()
    sampler.fold([a_record(0, 100, an_error(1, spans=3)), a_record(1, 130, an_error(2))])
    taken(sampler)
    sampler.release()
    assert (sampler.accounts.released, sampler.open_spans) == (4, 0)
