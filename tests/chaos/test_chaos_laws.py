"""The laws bite: each breach that a run could show is found in the topics that show it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from tests.chaos.laws import Account, hold_partition, keep_within_limits
from tests.harness.load import Load
from tests.harness.oracle import Expectation, Expected, Placed, Rules, expect, placed_spans
from tests.harness.reading import Stored
from tests.harness.verify import Written

RULES = Rules(decision_wait_ms=2_000, slow_ms=1_000, percentage=20)
Breach = Callable[[Written], None]


@pytest.fixture
def written() -> Written:
    """Give topics of one partition as a worker without fault leaves them."""
    load = Load(spans=2_000, duration_s=6, late_after_s=2.4, seed=3).records()
    log = [
        Stored(0, offset, int(one.at_s * 1000), one.key, one.value, {})
        for offset, one in enumerate(load)
    ]
    open_ones = [id_ for id_, one in expect(log, RULES, {}).traces.items() if one.upto is None]
    expectation = expect(log, RULES, dict.fromkeys(open_ones, len(log)))
    decisions: list[tuple[Stored, dict[str, Any]]] = []
    output: list[Stored] = []
    for trace_id, one in expectation.traces.items():
        late = one.spans - one.spans_in_time
        for trigger, spans in (("decision_wait", one.spans_in_time), ("late", late)):
            if spans:
                decisions.append(
                    decision(trace_id, one, trigger, spans, wall=trace_id in open_ones)
                )
        for trigger, placed in (("decision_wait", one.in_time), ("late", one.late)):
            if one.policy and placed:
                output.append(delivered(trace_id, one.policy, trigger, list(placed.values())))
    return Written(log, output, decisions, dead_letters(log, expectation))


def test_a_run_without_fault_breaks_no_law(written: Written) -> None:
    account = held(written)
    assert account.broken == []
    assert account.spans_in > 1_900
    assert min(account.spans_kept, account.dead_letters, account.cut_by_the_wall) > 0


def drop_a_kept_trace(written: Written) -> None:
    del written.output[3]


def deliver_one_twice(written: Written) -> None:
    written.output.append(written.output[3])


def lose_a_server_that_has_its_clients_id(written: Written) -> None:
    for at, record in enumerate(written.output):
        message = TracesData.FromString(record.value)
        halves = Counter(placed.span.span_id for placed in placed_spans(message))
        for resource in message.resource_spans:
            span = resource.scope_spans[0].spans[0]
            if halves[span.span_id] > 1 and span.kind == Span.SPAN_KIND_SERVER:
                message.resource_spans.remove(resource)
                written.output[at] = replace(record, value=message.SerializeToString())
                return


def change_a_verdict(written: Written) -> None:
    change(written, policy="errors", verdict="sampled")


def cut_one_elsewhere(written: Written) -> None:
    change(written, upto=written.decisions[3][1]["upto"] + 1)


def decide_one_twice(written: Written) -> None:
    written.decisions.append(written.decisions[3])


def forget_a_decision(written: Written) -> None:
    del written.decisions[3]


def count_a_span_too_few(written: Written) -> None:
    change(written, spans=written.decisions[3][1]["spans"] - 1)


def lose_a_dead_letter(written: Written) -> None:
    del written.dead_letters[0]


def repeat_a_dead_letter(written: Written) -> None:
    written.dead_letters.append(written.dead_letters[0])


def change_a_span(written: Written) -> None:
    record = written.output[0]
    written.output[0] = replace(record, value=record.value.replace(b"/cart", b"/dart"))


def decide_one_early(written: Written) -> None:
    change(written, trigger="overload")


@pytest.mark.parametrize(
    ("breach", "counted"),
    [
        (drop_a_kept_trace, "missing"),
        (deliver_one_twice, "twice"),
        (lose_a_server_that_has_its_clients_id, "missing"),
        (change_a_verdict, "verdicts_that_differ"),
        (cut_one_elsewhere, "verdicts_that_differ"),
        (decide_one_twice, "verdicts_twice"),
        (forget_a_decision, "unaccounted"),
        (count_a_span_too_few, "unaccounted"),
        (lose_a_dead_letter, None),
        (repeat_a_dead_letter, "dead_letters_repeated"),
        (change_a_span, None),
        (decide_one_early, None),
    ],
)
def test_each_breach_is_found_and_counted(
    written: Written, breach: Breach, counted: str | None
) -> None:
    breach(written)
    account = held(written)
    assert account.broken
    assert counted is None or getattr(account, counted) > 0


def test_a_dead_letter_may_repeat_where_the_commit_metadata_was_dropped(written: Written) -> None:
    repeat_a_dead_letter(written)
    assert held(written, hints_dropped=1).broken == []


def held(written: Written, *, hints_dropped: int = 0) -> Account:
    account = Account()
    hold_partition(account, written, RULES, 0, hints_dropped)
    keep_within_limits(account)
    return account


def change(written: Written, **fields: Any) -> None:
    record, found = written.decisions[3]
    written.decisions[3] = (record, {**found, **fields})


def decision(
    trace_id: bytes, one: Expected, trigger: str, spans: int, *, wall: bool
) -> tuple[Stored, dict[str, Any]]:
    return Stored(0, 0, 0, trace_id.hex().encode(), b"", {}), {
        "trace_id": trace_id,
        "verdict": "sampled" if one.policy else "not_sampled",
        "policy": one.policy or "",
        "trigger": trigger,
        "clock": "wall" if wall else "log",
        "upto": one.upto,
        "spans": spans,
        "complete": one.complete,
    }


def delivered(trace_id: bytes, policy: str, trigger: str, spans: list[Placed]) -> Stored:
    message = TracesData()
    for placed in spans:
        resource = ResourceSpans.FromString(placed.resource)
        scope = ScopeSpans.FromString(placed.scope)
        scope.spans.add().CopyFrom(placed.span)
        span = scope.spans[0]
        for name, value in (("policy", policy), ("trigger", trigger)):
            stamp = KeyValue(key=f"tailstream.{name}", value=AnyValue(string_value=value))
            span.attributes.append(stamp)
        if threshold := RULES.threshold(policy):
            ours = f"ot=th:{threshold:014x}".rstrip("0")
            span.trace_state = f"{ours},{span.trace_state}".rstrip(",")
        resource.scope_spans.append(scope)
        message.resource_spans.append(resource)
    headers = {
        "tailstream.policy": policy.encode(),
        "tailstream.trigger": trigger.encode(),
        "tailstream.delivery": b"1",
    }
    key = trace_id.hex().encode()
    return Stored(0, 0, 0, key, message.SerializeToString(), headers)


def dead_letters(log: list[Stored], expectation: Expectation) -> list[Stored]:
    found = [record for record in log if expect([record], RULES, {}).accounts["dead_lettered"]]
    assert len(found) == expectation.accounts["dead_lettered"]
    return [
        replace(
            record,
            headers={
                "tailstream.partition": b"0",
                "tailstream.offset": str(record.offset).encode(),
                "tailstream.reason": b"malformed",
            },
        )
        for record in found
    ]
