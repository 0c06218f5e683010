from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from stream.demo.generator import EXPORT_DELAY_S, NS_PER_S, RESEND_DELAY_S, SPREAD_S, Load
from stream.demo.pace import pace
from stream.demo.record import Record, RecordKind
from stream.demo.truth import Truth
from stream.testing.spans import decoded, spans_of

# Every fault is common here, so that a few hundred traces hold all of them.
FAULTY = Load(
    seed=7,
    traces=300,
    error_share=0.3,
    slow_share=0.3,
    late_share=0.1,
    resent_share=0.02,
    split_share=0.3,
    malformed=6,
)
RECORDS = list(FAULTY.records())
WELL_FORMED = [record for record in RECORDS if record.kind is not RecordKind.MALFORMED]


def spans_by_trace(records: list[Record]) -> dict[bytes, dict[bytes, Span]]:
    traces: dict[bytes, dict[bytes, Span]] = defaultdict(dict)
    for record in records:
        for span in spans_of(record.value):
            traces[record.key][span.span_id] = span
    return traces


def duration_ms(spans: dict[bytes, Span]) -> float:
    start_ns = min(span.start_time_unix_nano for span in spans.values())
    return (max(span.end_time_unix_nano for span in spans.values()) - start_ns) / 1e6


def has_error(spans: dict[bytes, Span]) -> bool:
    return any(span.status.code == Status.STATUS_CODE_ERROR for span in spans.values())


def facts_of(key: bytes) -> tuple[bool, bool]:
    return next((record.error, record.slow) for record in WELL_FORMED if record.key == key)


def test_the_same_seed_makes_the_same_records() -> None:
    assert list(Load(seed=3, traces=50).records()) == list(Load(seed=3, traces=50).records())


def test_another_seed_makes_other_traces() -> None:
    keys = [{each.key for each in Load(seed=seed, malformed=0).records()} for seed in (3, 4)]
    assert not keys[0] & keys[1]


def test_the_start_moves_the_spans_and_nothing_else() -> None:
    here, there = (
        list(Load(traces=20, malformed=0, start_ns=at).records()) for at in (10**18, 3 * 10**18)
    )
    assert [(each.key, each.at_s, each.kind) for each in here] == [
        (each.key, each.at_s, each.kind) for each in there
    ]
    moved = {
        after.start_time_unix_nano - before.start_time_unix_nano
        for one, other in zip(here, there, strict=True)
        for before, after in zip(spans_of(one.value), spans_of(other.value), strict=True)
    }
    assert moved == {2 * 10**18}


def test_the_truth_is_what_the_records_hold() -> None:
    truth = Truth()
    for record in RECORDS:
        truth.add(record)
    traces = spans_by_trace(WELL_FORMED)
    held = Counter(dict.fromkeys(RecordKind, 0))
    for record in WELL_FORMED:
        held[record.kind] += len(spans_of(record.value))
    assert truth.records == len(RECORDS)
    assert truth.traces == len(traces) == FAULTY.traces
    assert truth.spans == held.total()
    assert truth.late_spans == held[RecordKind.LATE] > 0
    assert truth.resent_spans == held[RecordKind.RESENT] > 0
    assert truth.resent.total() == truth.resent_spans
    assert truth.malformed == FAULTY.malformed
    assert truth.error_traces == sum(map(has_error, traces.values())) > 0
    assert truth.slow_traces == sum(duration_ms(each) > 1000 for each in traces.values()) > 0
    assert truth.span_ids == {
        bytes.fromhex(key.decode()): set(spans) for key, spans in traces.items()
    }


def test_the_truth_of_an_endless_load_does_not_grow() -> None:
    truth = Truth(keep_span_ids=False)
    for record in RECORDS:
        truth.add(record)
    assert truth.traces == FAULTY.traces
    assert not truth.span_ids
    assert not truth.resent


def test_a_record_holds_one_resource_one_scope_and_the_trace_of_its_key() -> None:
    for record in WELL_FORMED:
        resources = decoded(record.value).resource_spans
        assert [len(each.scope_spans) for each in resources] == [1]
        spans = spans_of(record.value)
        assert {span.trace_id.hex().encode() for span in spans} == {record.key}
        assert tuple(span.span_id for span in spans) == record.span_ids


def test_the_bytes_are_those_that_a_protobuf_library_writes() -> None:
    for record in WELL_FORMED:
        assert decoded(record.value).SerializeToString(deterministic=True) == record.value


def test_every_span_of_a_trace_has_its_own_id_and_one_of_them_is_the_root() -> None:
    for spans in spans_by_trace(WELL_FORMED).values():
        parents = [span.parent_span_id for span in spans.values()]
        assert parents.count(b"") == 1
        assert all(parent in spans for parent in parents if parent)


def test_calls_lie_within_their_caller() -> None:
    for spans in spans_by_trace(WELL_FORMED).values():
        for span in spans.values():
            caller = spans.get(span.parent_span_id, span)
            assert caller.start_time_unix_nano <= span.start_time_unix_nano
            assert span.start_time_unix_nano < span.end_time_unix_nano
            assert span.end_time_unix_nano <= caller.end_time_unix_nano


def test_a_trace_is_in_error_or_slow_just_where_its_records_say_so() -> None:
    for key, spans in spans_by_trace(WELL_FORMED).items():
        assert (has_error(spans), duration_ms(spans) > 1000) == facts_of(key)


def test_an_error_has_an_exception_with_it_and_reaches_the_root() -> None:
    for spans in spans_by_trace(WELL_FORMED).values():
        failed = [each for each in spans.values() if each.status.code == Status.STATUS_CODE_ERROR]
        exceptions = [each.events[0].name for each in failed if each.events]
        roots = [each for each in failed if not each.parent_span_id]
        assert len(exceptions) == len(roots) == bool(failed)


def test_a_caller_makes_no_call_after_one_that_failed() -> None:
    failed = 0
    for spans in spans_by_trace(WELL_FORMED).values():
        for span in spans.values():
            if span.parent_span_id and span.status.code == Status.STATUS_CODE_ERROR:
                failed += 1
                calls = [
                    each for each in spans.values() if each.parent_span_id == span.parent_span_id
                ]
                assert max(each.start_time_unix_nano for each in calls) == span.start_time_unix_nano
    assert failed > 0


def test_records_come_in_the_order_of_their_time() -> None:
    times = [record.at_s for record in RECORDS]
    assert times == sorted(times)


def test_a_trace_is_sent_at_once_but_for_its_late_span() -> None:
    first_s: dict[bytes, float] = {}
    late = 0
    for record in WELL_FORMED:
        opened_s = first_s.setdefault(record.key, record.at_s)
        after_s = record.at_s - opened_s
        if record.kind is RecordKind.LATE:
            late += 1
            assert len(record.span_ids) == 1
            assert after_s > FAULTY.late_after_s - EXPORT_DELAY_S
        elif record.kind is RecordKind.SPANS:
            assert after_s <= SPREAD_S
    assert late > 0


def test_a_late_span_is_neither_the_root_nor_the_only_sign_of_an_error() -> None:
    late = [
        span
        for record in WELL_FORMED
        if record.kind is RecordKind.LATE
        for span in spans_of(record.value)
    ]
    assert late
    assert all(span.parent_span_id for span in late)
    assert not any(span.status.code == Status.STATUS_CODE_ERROR for span in late)


def test_a_resent_record_has_the_bytes_of_one_before_it() -> None:
    sent: dict[bytes, float] = {}
    resent = 0
    for record in WELL_FORMED:
        if record.kind is RecordKind.RESENT:
            resent += 1
            assert 0 <= record.at_s - sent[record.value] <= RESEND_DELAY_S
        else:
            sent[record.value] = record.at_s
    assert resent > 0


def test_a_trace_opens_once_with_its_first_record() -> None:
    seen = set()
    for record in WELL_FORMED:
        assert record.opens == (record.key not in seen)
        seen.add(record.key)


def test_a_malformed_record_cannot_be_decoded_or_has_no_trace_id() -> None:
    kinds: Counter[str] = Counter()
    for record in RECORDS:
        if record.kind is not RecordKind.MALFORMED:
            continue
        try:
            ids = {span.trace_id for span in spans_of(record.value)}
        except DecodeError:
            kinds["undecodable"] += 1
        else:
            assert ids == {bytes(16)}
            assert record.key == b""
            kinds["no trace id"] += 1
    assert kinds == {"undecodable": 4, "no trace id": 2}


def test_split_records_cut_a_scope_in_two() -> None:
    none = Load(seed=2, traces=200, split_share=0, resent_share=0, late_share=0, malformed=0)
    every = Load(seed=2, traces=200, split_share=1, resent_share=0, late_share=0, malformed=0)
    whole, split = list(none.records()), list(every.records())
    assert len(split) > 1.4 * len(whole)
    assert max(len(record.span_ids) for record in whole) == 3
    assert {len(record.span_ids) for record in split} == {1, 2}


@pytest.mark.parametrize(
    ("share", "of"), [("error_share", "error_traces"), ("slow_share", "slow_traces")]
)
@pytest.mark.parametrize("part", [0.0, 1.0])
def test_a_share_of_none_or_all_is_exact(share: str, of: str, part: float) -> None:
    truth = Truth()
    chosen: dict[str, Any] = {share: part}
    for record in Load(traces=100, **chosen).records():
        truth.add(record)
    assert getattr(truth, of) == 100 * part


@pytest.mark.parametrize(
    "wrong",
    [
        {"error_share": -0.1},
        {"slow_share": 1.1},
        {"late_share": 2},
        {"resent_share": -1},
        {"split_share": 5},
        {"traces": 2, "malformed": 3},
        {"malformed": -1},
        {"traces_per_s": 0},
        {"late_after_s": -1},
    ],
)
def test_a_number_outside_its_range_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        Load(**wrong)


def test_a_paced_record_comes_when_it_is_due_and_never_before() -> None:
    clock_s = [100.0]

    def wait(seconds: float) -> None:
        assert 0 < seconds <= 0.1
        clock_s[0] += max(seconds, 1e-7)  # a clock ticks

    came = [
        (record.at_s, clock_s[0] - 100.0) for record in pace(RECORDS[:40], wait, lambda: clock_s[0])
    ]
    assert [due for due, _ in came] == [record.at_s for record in RECORDS[:40]]
    assert all(0 <= at - due < 1e-6 for due, at in came)


def test_a_record_that_is_overdue_comes_without_waiting() -> None:
    times = iter([0.0, 1e9, 1e9])
    waited: list[float] = []
    assert list(pace(RECORDS[:2], waited.append, lambda: next(times))) == RECORDS[:2]
    assert not waited


def test_spans_end_when_they_are_sent_and_last_as_long_as_they_took() -> None:
    for record in WELL_FORMED:
        if record.kind is RecordKind.SPANS:
            ends_ns = [span.end_time_unix_nano for span in spans_of(record.value)]
            assert max(ends_ns) <= FAULTY.start_ns + record.at_s * NS_PER_S


def test_the_traces_are_spread_evenly_over_time() -> None:
    opened = [record.at_s for record in RECORDS if record.opens]
    assert opened[-1] <= FAULTY.traces / FAULTY.traces_per_s + EXPORT_DELAY_S
    assert all(after - before <= EXPORT_DELAY_S for before, after in pairwise(opened))
