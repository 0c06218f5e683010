"""What metrics tell of a transaction's deliveries: counted at once, as if one by one."""

from bisect import bisect_left
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from stream.measurements import DELAYS_MS
from stream.metrics import DELAYS, CountedHistogram
from stream.otlp.fragment import BadSpans, DeadLetterReason
from stream.sampling.decision import Clock, Decision, Trigger, Verdict
from stream.sampling.delivery import DeadLetter, Delivery, Settled
from stream.worker.tally import Tally

NOW_MS = 1_750_000_000_000
DECISION = Decision(
    trace_id=b"t" * 16,
    verdict=Verdict.NOT_SAMPLED,
    policy="",
    trigger=Trigger.DECISION_WAIT,
    threshold=0,
    spans=3,
    errors=0,
    duration_us=70_000,
    complete=True,
    time_ms=NOW_MS,
    clock=Clock.LOG,
    upto=5,
    offsets=[4],
)


def a_settled(delay_ms: int = 0, *, late: bool = False, decision: Decision = DECISION) -> Settled:
    return Settled(Delivery(decision, 4, NOW_MS, 0, due_ms=NOW_MS - delay_ms, late=late))


def tally_of(*settled: Settled) -> Tally:
    tally = Tally(DELAYS_MS)
    tally.add(list(settled), NOW_MS)
    return tally


DELAYS_SEEN = st.integers(-5, 400_000) | st.sampled_from(
    [bound + more for bound in DELAYS_MS for more in (-1, 0, 1)]
)


@given(st.lists(DELAYS_SEEN, max_size=40))
def test_delays_counted_at_once_are_those_observed_one_by_one(delays_ms: list[int]) -> None:
    registry = CollectorRegistry()
    at_once = CountedHistogram("at_once", "", registry=registry, buckets=DELAYS)
    one_by_one = Histogram("one_by_one", "", registry=registry, buckets=DELAYS)
    tally = tally_of(*map(a_settled, delays_ms))
    at_once.observe_counted(tally.delays, tally.delay_ms / 1000)
    for delay_ms in delays_ms:
        one_by_one.observe(max(0, delay_ms) / 1000)
    got, expected = [
        [(one.name.removeprefix(name), one.labels, one.value) for one in metric.samples]
        for name in ("at_once", "one_by_one")
        for metric in registry.collect()
        if metric.name == name
    ]
    for (suffix, labels, value), other in zip(got, expected, strict=True):
        if suffix != "_created":
            assert (suffix, labels) == other[:2]
            assert value == pytest.approx(other[2])


def test_counted_observations_are_one_number_for_every_bucket() -> None:
    histogram = CountedHistogram("h", "", registry=CollectorRegistry(), buckets=DELAYS)
    with pytest.raises(ValueError, match="zip"):
        histogram.observe_counted([1] * len(DELAYS), 1.0)


def test_traces_are_counted_by_what_was_decided_in_any_order() -> None:
    kept = replace(DECISION, verdict=Verdict.SAMPLED, policy="errors")
    hastened = replace(DECISION, trigger=Trigger.ROOT_RECEIVED)
    decisions = [DECISION] * 5 + [kept] * 3 + [hastened]
    settled = [a_settled(decision=decision) for decision in decisions]
    Random(1).shuffle(settled)
    assert tally_of(*settled).decided == {
        ("not_sampled", "", "decision_wait"): 5,
        ("sampled", "errors", "decision_wait"): 3,
        ("not_sampled", "", "root_received"): 1,
    }


def test_late_spans_are_no_decision_and_have_no_delay() -> None:
    tally = tally_of(a_settled(150, late=True), a_settled(150))
    assert tally.decided.total() == 1
    assert (sum(tally.delays), tally.delay_ms) == (1, 150)
    assert tally.delays[bisect_left(DELAYS, 0.15)] == 1


def test_dead_letters_are_counted_by_reason() -> None:
    bad = BadSpans(DeadLetterReason.MALFORMED, 2, b"bad")
    refused, too_large = a_settled(), a_settled()
    refused.dead_lettered = too_large.dead_lettered = 7
    refused.delivered.undeliverable = True
    letter = Settled(DeadLetter(0, NOW_MS, bad, b"key"))
    tally = tally_of(letter, refused, too_large, letter)
    assert tally.dead_letters == {"malformed": 2, "undeliverable": 1, "span_too_large": 1}
    assert tally.decided.total() == 2
