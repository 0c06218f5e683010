"""Pins and promotions, as one partition sees them: before, beside and after a trace's spans."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.decision import Decision, Trigger, Verdict, decode
from stream.sampling.kept_offsets import kept_offsets
from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.matcher import Matcher
from stream.sampling.pins import STALE_EXPIRIES_MAX, HeldPin, PendingPins, PinsBudget
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.latency import Latency
from stream.sampling.policies.policy import Policy
from stream.sampling.promotions import Found, SecondChance, Wanted
from stream.sampling.record import Record
from stream.state.rocksdb import RocksDB, RocksDBSpanStore
from stream.testing.core import (
    Core,
    Rules,
    a_pin,
    a_record,
    a_tick,
    an_error,
    an_ordinary,
    fold,
)
from stream.testing.spans import spans_of, trace_id_of
from stream.worker.partition import Partition

WINDOWS = Windows(decision_wait_ms=30, decision_retention_ms=1_000)
CORE = Core(WINDOWS)


class Run:
    """A partition, the records it was given, and what it has committed."""

    def __init__(self, core: Core = CORE, **parts: Any) -> None:
        self.partition: Partition = core.partition(**parts)
        self.sampler = self.partition.sampler
        self.records: dict[int, Record] = {}
        self.decisions: list[Decision] = []
        self.output: list[tuple[str, list[bytes]]] = []

    def fold(self, *records: Record) -> None:
        self.records.update((record.offset, record) for record in records)
        fold(self.sampler, records)

    def commit(self) -> None:
        plan = self.partition.plan(count_max=1_000, bytes_max=1 << 30)
        for record in plan.records:
            if record.topic == "decisions":
                self.decisions.append(decode(record.value)[0])
            if record.topic == "output":
                trigger = dict(record.headers)["tailstream.trigger"].decode()
                self.output.append((trigger, [s.span_id for s in spans_of(record.value)]))
        self.partition.committed(plan, decisions_end=len(self.decisions))

    def read_again(self, wanted: Wanted, *, without: Sequence[int] = ()) -> bool:
        fragments = [
            (offset, fragment, record.headers)
            for offset, record in sorted(self.records.items())
            for fragment in record.fragments
            if fragment.trace_id == wanted.trace_id
            and offset < wanted.first_offset
            and offset not in without
        ]
        found = Found(wanted.trace_id, wanted.first_offset, fragments, partial=bool(without))
        return self.sampler.found(found)

    def promote(self) -> None:
        for wanted in self.sampler.wanted(100):
            assert self.read_again(wanted)
        self.commit()

    def counted(self, kind: str) -> int:
        return self.sampler.accounts.records[kind]


def span_ids_of(spans: Sequence[Span]) -> list[bytes]:
    return [span.span_id for span in spans]


def a_dropped_trace(run: Run) -> None:
    """Trace 1 lies at offsets 0 and 2, and was not kept."""
    run.fold(
        a_record(0, 1_000, an_ordinary(1)),
        a_record(1, 1_001, an_error(2)),
        a_record(2, 1_002, an_ordinary(1, first_span=2)),
        a_tick(3, 1_100),
    )
    run.commit()


def test_a_trace_that_was_pinned_before_its_first_span_is_kept() -> None:
    run = Run()
    run.fold(a_pin(0, 1_000, 1), a_tick(1, 1_500), a_record(2, 1_501, an_ordinary(1)))
    run.fold(a_tick(3, 1_530), a_tick(4, 1_531))
    run.commit()
    pending, kept = run.decisions
    assert (pending.verdict, pending.upto, pending.expires_ms) == (Verdict.PENDING, 1, 2_000)
    assert (kept.verdict, kept.policy, kept.trigger) == (Verdict.SAMPLED, "pin", Trigger.PINNED)
    assert (kept.source, kept.threshold) == ("test", UNKNOWN_THRESHOLD)
    # Its deadline counts from its first span, not from the pin.
    assert kept.upto == 4


def test_a_pin_holds_the_resume_offset_until_its_record_has_committed() -> None:
    run = Run()
    run.fold(a_tick(0, 1_000), a_pin(1, 1_001, 1), a_tick(2, 1_002))
    assert run.sampler.resume() == (1, 1_001)
    run.commit()
    assert run.sampler.resume() == (3, 1_002)


def test_a_pin_that_expired_before_the_first_span_keeps_nothing() -> None:
    run = Run()
    run.fold(a_pin(0, 1_000, 1, ttl_ms=10), a_record(1, 1_011, an_ordinary(1)), a_tick(2, 1_100))
    run.commit()
    assert run.decisions[-1].verdict is Verdict.NOT_SAMPLED
    assert run.counted("pin_expired") == 1
    assert run.sampler.pins_pending == 0


def test_a_pin_waits_no_longer_than_decisions_are_remembered() -> None:
    run = Run()
    run.fold(a_pin(0, 1_000, 1, ttl_ms=1 << 40))
    run.commit()
    assert run.decisions[0].expires_ms == 2_000
    assert (run.counted("pin_pending"), run.counted("pin_clipped")) == (1, 1)


def test_only_a_pin_that_is_held_for_less_than_it_asked_for_counts_as_clipped() -> None:
    run = Run()
    as_long = run.sampler._windows.decision_retention_ms
    run.fold(
        a_pin(0, 1_000, 1, ttl_ms=as_long),
        a_pin(1, 1_000, 1, ttl_ms=as_long + 1),  # holds for no longer than the one before
        a_pin(2, 1_000, 2, ttl_ms=as_long + 1),
        a_record(3, 1_000, an_ordinary(3)),
        a_pin(4, 1_000, 3, ttl_ms=as_long + 1),
    )
    assert (run.counted("pin_pending"), run.counted("pin_clipped")) == (2, 1)


def test_pins_that_expire_are_let_go_of() -> None:
    run = Run()
    run.fold(a_pin(0, 1_000, 1, ttl_ms=10), a_pin(1, 1_000, 2, ttl_ms=500), a_tick(2, 1_011))
    run.commit()
    assert (run.sampler.pins_pending, run.counted("pin_expired")) == (1, 1)


def test_a_trace_that_is_pinned_while_it_is_open_is_kept_at_its_deadline() -> None:
    run = Run()
    run.fold(a_record(0, 1_000, an_ordinary(1)), a_pin(1, 1_029, 1), a_tick(2, 1_030))
    run.commit()
    (kept,) = run.decisions
    assert (kept.trigger, kept.time_ms, kept.upto) == (Trigger.PINNED, 1_030, 2)
    assert run.output == [("pinned", span_ids_of(an_ordinary(1)))]


def test_a_pin_that_brings_the_time_of_the_cut_comes_after_it() -> None:
    run = Run()
    run.fold(a_record(0, 1_000, an_ordinary(1)), a_pin(1, 1_030, 1))
    run.commit()
    assert run.decisions[0].verdict is Verdict.NOT_SAMPLED
    assert run.counted("pin_dropped") == 1


def test_a_policy_that_keeps_a_pinned_trace_by_itself_has_the_word() -> None:
    run = Run()
    run.fold(a_record(0, 1_000, an_error(1)), a_pin(1, 1_001, 1), a_tick(2, 1_100))
    run.commit()
    (kept,) = run.decisions
    assert (kept.policy, kept.trigger, kept.source) == ("errors", Trigger.DECISION_WAIT, "")


def test_a_pin_beats_a_policy_that_drops() -> None:
    matcher = Matcher()
    chosen: list[Policy] = [Drop("none", [Latency("any", 0)])]
    run = Run(Core(WINDOWS, rules=Rules(Policies(chosen), matcher.plan())))
    run.fold(a_record(0, 1_000, an_ordinary(1)), a_pin(1, 1_001, 1), a_tick(2, 1_100))
    run.commit()
    assert run.decisions[0].verdict is Verdict.SAMPLED


def test_a_limit_that_cuts_a_pinned_trace_is_named() -> None:
    run = Run(Core(WINDOWS, Limits(trace_spans_max=3)))
    run.fold(a_record(0, 1_000, an_ordinary(1)), a_pin(1, 1_001, 1))
    run.fold(a_record(2, 1_002, an_ordinary(1, first_span=2, spans=2)))
    run.commit()
    (kept,) = run.decisions
    assert (kept.trigger, kept.policy, kept.source) == (Trigger.SPAN_LIMIT, "pin", "test")


def test_a_pin_after_the_verdict_delivers_the_whole_trace_once() -> None:
    run = Run()
    a_dropped_trace(run)
    run.output.clear()
    run.fold(a_pin(4, 1_101, 1), a_pin(5, 1_102, 1))
    (wanted,) = run.sampler.wanted(10)
    assert run.read_again(wanted)
    assert not run.read_again(wanted), "it waits to be delivered already"
    run.commit()
    promoted = run.decisions[-1]
    assert (promoted.trigger, promoted.upto, promoted.offsets) == (Trigger.PROMOTED, 5, [0, 2])
    assert (promoted.policy, promoted.threshold) == ("pin", UNKNOWN_THRESHOLD)
    assert run.output == [("promoted", span_ids_of(an_ordinary(1, spans=2)))]
    run.fold(a_pin(6, 1_103, 1))
    run.commit()
    assert (len(run.output), run.sampler.promotions) == (1, 0)
    counted = [run.counted(kind) for kind in ("pin_dropped", "pin_repeated", "pin_sampled")]
    assert counted == [1, 1, 1]


def test_a_promotion_holds_the_resume_offset_at_its_pin_until_it_has_committed() -> None:
    run = Run()
    a_dropped_trace(run)
    run.fold(a_pin(4, 1_101, 1), a_tick(5, 1_200))
    run.commit()
    (wanted,) = run.sampler.wanted(10)
    assert run.sampler.resume() == (4, 1_101)
    run.read_again(wanted)
    run.partition.plan(count_max=10, bytes_max=1 << 30)
    run.partition.aborted()
    assert run.sampler.resume() == (4, 1_101)
    run.commit()
    assert run.sampler.resume() == (6, 1_200)


def test_spans_of_a_promotion_are_outside_the_accounting_law() -> None:
    run = Run()
    a_dropped_trace(run)
    run.fold(a_pin(4, 1_101, 1), a_record(5, 1_102, an_ordinary(1, first_span=3)))
    run.promote()
    run.commit()
    accounts = run.sampler.accounts
    assert (accounts.received, accounts.sampled, accounts.not_sampled) == (4, 1, 2)
    assert (accounts.late_sampled, accounts.promoted, run.sampler.open_spans) == (1, 2, 0)
    assert accounts.promotions["promoted"] == 1


def test_late_spans_of_a_dropped_trace_are_promoted_with_it() -> None:
    run = Run()
    a_dropped_trace(run)
    run.fold(a_record(4, 1_101, an_ordinary(1, first_span=3)), a_pin(5, 1_102, 1))
    assert run.sampler.wanted(10) == [], "the late span's decision has not committed"
    run.commit()
    (wanted,) = run.sampler.wanted(10)
    assert wanted.offsets == b"\x00\x02\x02"
    run.read_again(wanted)
    run.commit()
    assert run.decisions[-1].offsets == [0, 2, 4]


def test_a_promotion_waits_for_late_spans_that_an_abort_has_put_back() -> None:
    run = Run()
    a_dropped_trace(run)
    run.fold(a_record(4, 1_101, an_ordinary(1, first_span=3)), a_pin(5, 1_102, 1))
    run.partition.plan(count_max=10, bytes_max=1 << 30)
    run.partition.aborted()
    assert run.sampler.wanted(10) == []
    run.commit()
    assert [wanted.offsets for wanted in run.sampler.wanted(10)] == [b"\x00\x02\x02"]


def test_late_spans_that_come_while_a_trace_is_promoted_go_out_after_it() -> None:
    run = Run()
    a_dropped_trace(run)
    run.output.clear()
    run.fold(a_pin(4, 1_101, 1), a_record(5, 1_102, an_ordinary(1, first_span=3)))
    (wanted,) = run.sampler.wanted(10)
    run.commit()
    assert run.output == []
    run.read_again(wanted)
    run.fold(a_record(6, 1_103, an_ordinary(1, first_span=4)))
    run.commit()
    run.commit()
    assert [trigger for trigger, _ in run.output] == ["promoted", "late"]
    assert [one.upto for one in run.decisions[-2:]] == [5, 7]
    assert run.sampler.open_spans == 0


def test_a_body_behind_a_promotion_is_kept_in_the_batch_in_which_its_trace_was_dropped(
    tmp_path: Path,
) -> None:
    db = RocksDB(tmp_path / "db", memory_bytes=1 << 20)
    run = Run(spans=RocksDBSpanStore(db, 0))
    run.fold(
        a_record(0, 1_000, an_ordinary(1)),
        a_record(1, 1_020, an_ordinary(2)),
        a_pin(2, 1_040, 1),
        a_record(3, 1_041, an_ordinary(1, first_span=2)),
    )
    run.commit()
    run.promote()
    run.commit()
    assert [trigger for trigger, _ in run.output] == ["promoted", "late"]
    run.partition._spans.close()
    db.close()


def test_what_is_left_of_a_promotion_is_delivered_and_said_to_be_partial() -> None:
    run = Run()
    a_dropped_trace(run)
    run.fold(a_pin(4, 1_101, 1))
    (wanted,) = run.sampler.wanted(10)
    run.read_again(wanted, without=[0])
    run.commit()
    assert run.output[-1] == ("promoted_partial", span_ids_of(an_ordinary(1, first_span=2)))
    assert run.sampler.accounts.promotions["promoted_partial"] == 1


def test_a_promotion_of_which_nothing_is_left_ends_too() -> None:
    run = Run()
    a_dropped_trace(run)
    run.fold(a_pin(4, 1_101, 1))
    (wanted,) = run.sampler.wanted(10)
    run.read_again(wanted, without=[0, 2])
    run.commit()
    assert run.sampler.accounts.promotions["not_found"] == 1
    assert run.sampler.resume() == (5, 1_101)


@pytest.mark.parametrize("pins", [[a_pin(3, 1_100, 2), a_pin(2, 1_100, 1)]])
def test_above_the_limit_a_pin_is_refused_and_counted(pins: list[Record]) -> None:
    run = Run(pins=PinsBudget(1))
    run.fold(a_record(0, 1_000, an_ordinary(2)), a_tick(1, 1_100))
    run.commit()
    run.fold(*reversed(pins))
    assert run.sampler.accounts.limits == {"pins_max": 1}
    assert (run.counted("pin_pending"), run.counted("pin_refused")) == (1, 1)
    run.commit()
    run.sampler.release()
    assert run.sampler._pins_budget.used == 0


def test_a_promotion_gives_its_place_back() -> None:
    budget = PinsBudget(1)
    run = Run(pins=budget)
    a_dropped_trace(run)
    run.fold(a_pin(4, 1_101, 1))
    assert budget.full()
    run.promote()
    assert not budget.full()


def test_a_promotion_that_has_to_wait_for_a_later_round_is_counted_once() -> None:
    run = Run()
    run.fold(*(a_record(at, 1_000, an_ordinary(at + 1)) for at in range(4)), a_tick(4, 1_100))
    run.commit()
    run.fold(*(a_pin(5 + at, 1_101, at + 1) for at in range(4)))
    first, second = told = run.sampler.wanted(2)
    assert run.read_again(first)
    run.sampler.defer(told)
    run.commit()
    assert [one.first_offset for one in run.sampler.wanted(2)] == [7, 8]
    assert run.read_again(second)
    assert run.sampler.accounts.promotions["deferred"] == 3


def test_by_setting_a_late_error_promotes_its_trace() -> None:
    run = Run(Core(WINDOWS, second_chance=SecondChance(late_errors=True)))
    a_dropped_trace(run)
    run.fold(a_record(4, 1_101, an_ordinary(1, first_span=3)))
    run.commit()
    run.fold(a_record(5, 1_102, an_error(1, first_span=4)))
    run.promote()
    run.commit()
    promoted, late = run.decisions[-2:]
    assert (promoted.policy, promoted.upto, promoted.offsets) == ("late_error", 5, [0, 2, 4])
    assert (late.verdict, late.policy, late.offsets) == (Verdict.SAMPLED, "late_error", [5])


def test_by_setting_a_late_slow_span_promotes_its_trace() -> None:
    run = Run(Core(WINDOWS, second_chance=SecondChance(late_slow_ms=1)))
    a_dropped_trace(run)
    run.fold(a_record(4, 1_101, an_ordinary(1, first_span=3)))
    run.promote()
    assert run.decisions[-1].policy == "late_slow"


def test_a_second_phase_that_knows_the_trace_pins_what_has_opened() -> None:
    run = Run()
    run.sampler.cuts_held = True
    run.fold(a_record(10, 1_000, an_ordinary(1)))
    before = Run()
    before.fold(a_pin(3, 900, 1))
    run.partition.whole(run.partition._log, list(before.sampler._pins.items()))
    run.fold(a_tick(11, 1_030))
    run.commit()
    assert run.decisions[-1].trigger is Trigger.PINNED


def test_no_pin_is_folded_before_all_decisions_are_known() -> None:
    run = Run()
    run.sampler.cuts_held = True
    run.fold(a_record(0, 1_000, an_ordinary(1)), a_pin(1, 1_000, 2))
    assert run.sampler.position == 1


def test_a_replayed_pin_that_kept_nothing_before_keeps_nothing_again() -> None:
    run = Run()
    run.fold(a_pin(0, 1_000, 1, ttl_ms=10), a_record(1, 1_100, an_ordinary(1)), a_tick(2, 1_200))
    run.commit()
    replay = Run(decisions=run.partition._decisions)
    replay.fold(a_pin(0, 1_000, 1, ttl_ms=10))
    assert (replay.counted("pin_replayed"), replay.sampler.promotions) == (1, 0)


def test_the_oldest_trace_keeps_its_pin_when_others_are_over_the_limit() -> None:
    run = Run(budget=OpenTracesBudget(limit=1))
    run.fold(a_pin(0, 1_000, 2), a_record(1, 1_001, an_ordinary(1)))
    run.fold(a_record(2, 1_002, an_ordinary(2)), a_tick(3, 1_100))
    run.commit()
    verdicts = {one.trace_id: one.verdict for one in run.decisions}
    assert verdicts[trace_id_of(1)] is Verdict.NOT_SAMPLED
    assert verdicts[trace_id_of(2)] is Verdict.SAMPLED


def test_pins_that_met_their_traces_leave_nothing_behind() -> None:
    pending = PendingPins(PinsBudget())
    kept = trace_id_of(1)
    pending.add(kept, HeldPin(0, 60_000, "x"))
    for number in range(2, 5_000):
        pending.add(trace_id_of(number), HeldPin(number, 60_000 + number, "x"))
        pending.pop(trace_id_of(number))
    assert sum(kept not in one for one in pending._expiries) <= STALE_EXPIRIES_MAX + 2
    assert pending.expire(60_001) == 1


def test_a_promotion_reads_all_its_trace_though_the_verdict_is_forgotten_meanwhile() -> None:
    run = Run()
    run.fold(a_record(0, 0, an_ordinary(1)), a_tick(1, 40))
    run.commit()
    run.fold(a_pin(2, 50, 1))
    store = run.sampler._decisions
    store.expire(10_000, 10_000)
    store.expire(20_000, 10_000)
    assert store.get(trace_id_of(1)) is None
    run.fold(a_record(3, 60, an_ordinary(1)), a_tick(4, 100))
    run.commit()
    (wanted,) = run.sampler.wanted(10)
    assert wanted.offsets == kept_offsets([0, 3])
