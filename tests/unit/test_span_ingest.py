"""Verdicts as fragments come (`span-ingest`), those that look back, and a custom root span."""

from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream import compiled
from stream.sampling.decision import Clock, Decision, Trigger, Verdict
from stream.sampling.delivery import Delivery, Settled
from stream.sampling.limits import Windows
from stream.sampling.matcher import Matcher
from stream.sampling.record import Record
from stream.sampling.tail_sampler import TailSampler
from stream.settings.compiled import policies_of
from stream.settings.model import Settings
from stream.testing.core import Core, Rules, a_record, a_tick, an_error, as_received
from stream.testing.spans import MS, START_NS, a_span, span_id_of, trace_id_of

Policy = dict[str, object]
ERRORS: Policy = {
    "name": "errors",
    "type": "status_code",
    "status_code": {"status_codes": ["ERROR"]},
}
MANY: Policy = {"name": "many", "type": "span_count", "span_count": {"min_spans": 3}}
SLOW: Policy = {"name": "slow", "type": "latency", "latency": {"threshold_ms": 100}}
DROP: Policy = {"name": "gone", "type": "drop", "drop": {"drop_sub_policy": [{**MANY, "name": ""}]}}
COMPLETE: Policy = {"name": "whole", "type": "completeness", "completeness": {"complete": True}}


@pytest.fixture(params=["the core that runs", "plain Python"], autouse=True)
def core(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain Python":
            patch.setattr(compiled, "RUNS", False)
        yield


class Run:
    """A sampler with these policies, and the records as they would be scanned for them."""

    def __init__(self, *policies: Policy, collector: bool = False, **options: str) -> None:
        settings = Settings.model_validate(
            {
                "compatibility": "collector" if collector else "fixed",
                "tail_sampling": {"policies": list(policies), **options},
            }
        )
        matcher = Matcher()
        judges = policies_of(settings.tail_sampling, matcher, as_collector=collector)
        self._rules = Rules(judges, matcher.plan())
        windows = Windows(decision_wait_ms=30, decision_wait_after_root_ms=5)
        self.sampler: TailSampler = Core(windows, rules=self._rules).sampler()

    def fold(self, *records: Record, poll: int = 100) -> list[Decision]:
        """Fold records in polls of this size, and return what was decided, in its order."""
        for at in range(0, len(records), poll):
            self.sampler.fold(as_received(records[at : at + poll], words=1))
        taken = self.sampler.take(count_max=1_000, bytes_max=1 << 30)
        self.sampler.settle([Settled(one) for one in taken])
        return [one.decision for one in taken if isinstance(one, Delivery)]

    def record(self, offset: int, time_ms: int, *spans: Sequence[Span]) -> Record:
        return a_record(offset, time_ms, *spans, rules=self._rules)


def spans(count: int, *, first: int = 1, took_ms: int = 1, parent: int = 99) -> list[Span]:
    return [
        a_span(
            trace_id=trace_id_of(1),
            span_id=span_id_of(first + number),
            parent_span_id=span_id_of(parent) if parent else b"",
            start_ns=START_NS,
            end_ns=START_NS + took_ms * MS,
        )
        for number in range(count)
    ]


def told(decisions: list[Decision]) -> list[tuple[str, str, str, list[int], int]]:
    return [(d.verdict.value, d.policy, d.trigger.value, d.offsets, d.upto) for d in decisions]


INGEST = "span-ingest"


def test_the_first_fragment_that_a_policy_would_keep_decides_and_the_rest_follows() -> None:
    run = Run(ERRORS, sampling_strategy=INGEST)
    decisions = run.fold(
        run.record(0, 100, spans(1)),
        run.record(1, 101, an_error(1, first_span=2)),
        run.record(3, 102, spans(1, first=9)),
        a_tick(4, 500),
    )
    assert told(decisions) == [
        ("sampled", "errors", "span_ingest", [0, 1], 2),
        ("sampled", "errors", "late", [3], 4),
    ]
    assert decisions[0].ballot == "s"
    assert decisions[0].clock is Clock.LOG


def test_a_fragment_is_judged_alone_but_for_the_number_of_spans() -> None:
    run = Run(MANY, SLOW, sampling_strategy=INGEST)
    fast, later = spans(1), spans(1, first=2)
    for span in later:  # both fragments together take long, neither alone
        span.start_time_unix_nano += 200 * MS
        span.end_time_unix_nano += 200 * MS
    decisions = run.fold(run.record(0, 100, fast), run.record(1, 101, later), a_tick(2, 500))
    assert told(decisions) == [("not_sampled", "", "decision_wait", [0, 1], 2)]
    assert decisions[0].ballot == ""

    run = Run(MANY, SLOW, sampling_strategy=INGEST)
    decisions = run.fold(
        run.record(0, 100, spans(2)), run.record(1, 101, spans(1, first=5)), a_tick(2, 500)
    )
    assert told(decisions) == [("sampled", "many", "span_ingest", [0, 1], 2)]


def test_in_the_collector_a_drop_policy_that_has_not_matched_defers_for_ever() -> None:
    run = Run(ERRORS, DROP, collector=True, sampling_strategy=INGEST)
    decisions = run.fold(run.record(0, 100, an_error(1)), a_tick(2, 500))
    assert [(d.verdict, d.policy) for d in decisions] == [(Verdict.NOT_SAMPLED, "")]

    run = Run(ERRORS, DROP, collector=True, sampling_strategy=INGEST)
    decisions = run.fold(run.record(0, 100, spans(2)), run.record(1, 100, spans(1, first=7)))
    assert told(decisions) == [("not_sampled", "gone", "span_ingest", [0, 1], 2)]


def test_nothing_is_judged_at_ingest_while_cuts_are_held() -> None:
    run = Run(ERRORS, sampling_strategy=INGEST)
    run.sampler.cuts_held = True
    record = run.record(0, 100, an_error(1))
    assert run.fold(record) == []
    assert run.sampler.position == 0
    run.sampler.cuts_held = False
    assert told(run.fold(record)) == [("sampled", "errors", "span_ingest", [0], 1)]


@pytest.mark.parametrize("poll", [1, 2, 100])
def test_a_look_back_sees_the_spans_in_the_order_of_the_log_whatever_a_poll_brings(
    poll: int,
) -> None:
    bounds = {"threshold_ms": 0, "upper_threshold_ms": 50}
    policy: Policy = {"name": "slow", "type": "latency", "latency": bounds}
    for first, second, kept in ((10, 200, True), (200, 10, False)):
        run = Run(policy, collector=True)
        decisions = run.fold(
            run.record(0, 100, spans(1, took_ms=first)),
            run.record(1, 100, spans(1, first=2, took_ms=second)),
            a_tick(2, 500),
            poll=poll,
        )
        assert [d.verdict is Verdict.SAMPLED for d in decisions] == [kept]


@pytest.mark.parametrize(("parent", "kept"), [(1, True), (98, False)])
def test_a_decision_tells_that_a_parent_is_missing_where_that_was_asked(
    parent: int, *, kept: bool
) -> None:
    root, child = spans(1, parent=0), spans(1, first=2, parent=parent)
    run = Run(COMPLETE)
    (decision,) = run.fold(run.record(0, 100, root), run.record(1, 100, child), a_tick(2, 500))
    assert (decision.verdict is Verdict.SAMPLED, decision.complete) == (kept, kept)

    run = Run(ERRORS)
    (decision,) = run.fold(run.record(0, 100, root), run.record(1, 100, child), a_tick(2, 500))
    assert decision.complete, "nobody asked for the parents"


def test_a_root_condition_says_which_span_hastens_the_decision() -> None:
    root = f"span.parent_span_id == SpanID(0x{span_id_of(99).hex()})"
    run = Run(ERRORS, root_condition=root)
    decisions = run.fold(
        run.record(0, 100, spans(1, parent=0)),
        a_tick(1, 106),
        run.record(2, 110, spans(1, first=2)),
        a_tick(3, 115),
    )
    (decision,) = decisions
    assert (decision.trigger, decision.complete, decision.upto) == (Trigger.ROOT_RECEIVED, True, 3)
