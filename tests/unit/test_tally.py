"""What metrics tell of a transaction's deliveries: counted at once, as if one by one."""

from bisect import bisect_left
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from stream.measurements import DELAYS_MS, DURATIONS_US
from stream.metrics import DELAYS, DURATIONS, CountedHistogram, Metrics
from stream.otlp.fragment import BadSpans, DeadLetterReason
from stream.sampling.decision import Decision, Trigger, Verdict
from stream.sampling.delivery import DeadLetter, Delivery, Settled
from stream.testing.decisions import a_drop
from stream.worker.tally import Tally

NOW_MS = 1_750_000_000_000
DECISION = a_drop(time_ms=NOW_MS)


def a_settled(delay_ms: int = 0, *, late: bool = False, decision: Decision = DECISION) -> Settled:
    return Settled(Delivery(decision, 4, NOW_MS, 0, due_ms=NOW_MS - delay_ms, late=late))


def tally_of(*settled: Settled) -> Tally:
    tally = Tally(DELAYS_MS, DURATIONS_US)
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


def test_kept_traces_durations_are_counted_by_policy_and_show_the_last_of_each_bucket() -> None:
    def kept(number: int, duration_us: int, policy: str = "slow") -> Settled:
        return a_settled(
            decision=replace(
                DECISION,
                trace_id=bytes([number]) * 16,
                verdict=Verdict.SAMPLED,
                policy=policy,
                duration_us=duration_us,
            )
        )

    spoilt = kept(5, 70_000)
    spoilt.dead_lettered = 1
    tally = tally_of(
        kept(1, 2_000_000),
        a_settled(),
        kept(2, 2_400_000),
        kept(3, 400_000_000),
        kept(4, 10_000, "rest"),
        spoilt,
    )

    slow, rest = tally.durations["slow"], tally.durations["rest"]
    below_2_5 = DURATIONS.index(2.5)
    assert slow.exemplars == {
        below_2_5: (b"\x02" * 16, 2_400_000),
        len(DURATIONS): (b"\x03" * 16, 400_000_000),
    }
    assert (slow.counts[below_2_5], slow.counts[-1], sum(slow.counts)) == (2, 1, 3)
    assert slow.sum_us == 404_400_000
    assert rest.exemplars == {0: (b"\x04" * 16, 10_000)}
    assert tally.delay_exemplars == {0: (b"\x04" * 16, 0)}


def test_more_policies_than_are_counted_at_once_lose_nothing() -> None:
    rng = Random(2)
    policies = [f"policy {number}" for number in range(50)]
    settled = [
        a_settled(
            rng.randint(0, 400_000),
            decision=replace(
                DECISION,
                trace_id=rng.randbytes(16),
                verdict=Verdict.SAMPLED,
                policy=rng.choice(policies),
                duration_us=rng.randint(0, 400_000_000),
            ),
        )
        for _ in range(2_000)
    ]
    tally, expected = tally_of(*settled), Tally(DELAYS_MS, DURATIONS_US)
    expected.add_in_python(settled, NOW_MS)
    assert vars(tally) == vars(expected)
    assert sum(sum(one.counts) for one in tally.durations.values()) == 2_000
    assert len(tally.durations) == 50


def test_a_dropped_trace_is_nobodys_exemplar() -> None:
    tally = tally_of(a_settled(150), a_settled(150, late=True))
    assert (tally.delay_exemplars, tally.durations) == ({}, {})


def test_openmetrics_shows_the_exemplar_on_its_bucket_and_plain_text_has_none() -> None:
    metrics = Metrics()
    histogram = metrics["trace_duration_seconds"].labels("slow")
    counts = [0] * (len(DURATIONS) + 1)
    at = DURATIONS.index(2.5)
    counts[at] = 1
    histogram.observe_counted(counts, 2.0, {at: (b"\x0a" * 16, 2.0)}, 1_600_000_000.5)
    name = 'tailstream_trace_duration_seconds_bucket{le="2.5",policy="slow"} 1.0'
    shown = f' # {{trace_id="{"0a" * 16}"}} 2.0 1600000000.5'
    text = openmetrics.generate_latest(metrics.registry)  # type: ignore[no-untyped-call]  # it has no types there
    assert f"{name}{shown}\n" in text.decode()
    assert f"{name}\n" in generate_latest(metrics.registry).decode()
