"""Each policy type's own rule, as a table."""

from dataclasses import dataclass

import pytest

from stream.otlp.span import STATUS_ERROR, STATUS_OK, STATUS_UNSET
from stream.sampling.decision import Vote
from stream.sampling.matcher import Matcher
from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.latency import Latency, duration_ms
from stream.sampling.policies.span_count import SpanCount
from stream.sampling.policies.status_code import StatusCode

MS = 1_000_000
EPOCH_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Summary:
    trace_id: bytes = bytes(range(16))
    spans: int = 3
    errors: int = 0
    start_ns: int = EPOCH_NS
    end_ns: int = EPOCH_NS + 100 * MS
    root: bool = True
    bits: int = 0


def lasting(duration_ns: int) -> Summary:
    return Summary(end_ns=EPOCH_NS + duration_ns)


def sampled(vote: Vote) -> bool:
    assert vote in {Vote.SAMPLED, Vote.NOT_SAMPLED}
    return vote is Vote.SAMPLED


def test_always_sample_keeps_a_trace_without_any_mark() -> None:
    assert AlwaysSample("all").vote(Summary(spans=0, end_ns=0, root=False)) is Vote.SAMPLED


@pytest.mark.parametrize(
    ("wanted", "seen", "kept"),
    [
        (["ERROR"], STATUS_ERROR, True),
        (["ERROR"], STATUS_OK, False),
        (["ERROR"], STATUS_UNSET, False),
        (["OK"], STATUS_OK, True),
        (["UNSET"], STATUS_UNSET, True),
        (["OK", "ERROR"], STATUS_ERROR, True),
        (["OK", "ERROR"], STATUS_OK, True),
        (["OK", "ERROR"], STATUS_UNSET, False),
    ],
)
def test_status_code_keeps_a_trace_with_a_span_of_one_of_its_codes(
    wanted: list[str], seen: int, *, kept: bool
) -> None:
    matcher = Matcher()
    policy = StatusCode("status", wanted, matcher)
    everything = StatusCode("other", ["UNSET", "OK", "ERROR"], matcher)
    trace = Summary(bits=matcher.plan().status_bits[seen])
    assert sampled(policy.vote(trace)) is kept
    assert sampled(everything.vote(trace))


def test_status_code_looks_at_any_span_not_at_all_of_them() -> None:
    matcher = Matcher()
    policy = StatusCode("errors", ["ERROR"], matcher)
    StatusCode("fine", ["OK"], matcher)
    both = matcher.plan().status_bits[STATUS_ERROR] | matcher.plan().status_bits[STATUS_OK]
    assert sampled(policy.vote(Summary(bits=both)))


@pytest.mark.parametrize(
    ("threshold_ms", "upper_ms", "duration_ns", "kept"),
    [
        (1000, 0, 1000 * MS, False),
        (1000, 0, 1001 * MS, True),
        (1000, 0, 1001 * MS - 1, False),  # 1000.999999 ms is 1000 whole ones
        (0, 0, 0, False),
        (0, 0, MS - 1, False),
        (0, 0, MS, True),
        (1000, 0, 10**9 * MS, True),
        (0, 50, 50 * MS, True),
        (0, 50, 51 * MS - 1, True),
        (0, 50, 51 * MS, False),
        (50, 100, 50 * MS, False),
        (50, 100, 51 * MS, True),
        (50, 100, 100 * MS, True),
        (50, 100, 101 * MS, False),
    ],
)
def test_latency_is_above_the_threshold_and_at_most_the_upper_one_in_whole_milliseconds(
    threshold_ms: int, upper_ms: int, duration_ns: int, *, kept: bool
) -> None:
    policy = Latency("slow", threshold_ms, upper_ms)
    assert sampled(policy.vote(lasting(duration_ns))) is kept


@pytest.mark.parametrize(
    "trace",
    [
        Summary(start_ns=0),
        Summary(start_ns=0, end_ns=0),
        Summary(end_ns=EPOCH_NS - 1),
        Summary(end_ns=0),
        Summary(end_ns=EPOCH_NS),
    ],
)
def test_a_trace_whose_bounds_are_unset_or_reversed_lasts_no_time(trace: Summary) -> None:
    assert duration_ms(trace) == 0
    assert not sampled(Latency("slow", 0).vote(trace))


@pytest.mark.parametrize(
    ("min_spans", "max_spans", "spans", "kept"),
    [
        (2, 4, 1, False),
        (2, 4, 2, True),
        (2, 4, 4, True),
        (2, 4, 5, False),
        (2, 0, 1, False),
        (2, 0, 2, True),
        (2, 0, 10**6, True),
        (0, 2, 1, True),
        (0, 2, 3, False),
        (3, 3, 3, True),
    ],
)
def test_span_count_has_both_ends_in_it_and_a_maximum_of_0_is_none(
    min_spans: int, max_spans: int, spans: int, *, kept: bool
) -> None:
    assert sampled(SpanCount("p", min_spans, max_spans).vote(Summary(spans=spans))) is kept


@pytest.mark.parametrize(
    ("duration_ns", "vote"),
    [(100 * MS, Vote.NOT_SAMPLED), (101 * MS, Vote.DROPPED)],
)
def test_drop_needs_every_sub_policy(duration_ns: int, vote: Vote) -> None:
    drop = Drop("noise", [AlwaysSample("all"), Latency("slow", 100)])
    assert drop.vote(lasting(duration_ns)) is vote


def test_drop_without_sub_policies_drops_as_the_collector_does() -> None:
    assert Drop("noise", []).vote(Summary()) is Vote.DROPPED
