"""What a run of the shop is judged by, from what it left in Kafka."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    SpanFlags,
    Status,
    TracesData,
)

from stream.demo.shop.evidence import Evidence, Reply
from stream.demo.shop.fate import Fate, Fates
from stream.demo.shop.findings import Findings, findings
from stream.demo.shop.report import report
from stream.demo.shop.run import Shop
from stream.demo.shop.seen import Kind, Seen, SpanId, seen_in
from stream.demo.shop.service import Service
from stream.kafka.topic_reader import ReadRecord
from stream.sampling.decision import Clock, Decision, Trigger, Verdict, encode

TOPICS = {role: role for role in ("input", "output", "decisions", "dead_letters", "checkouts")}
HEAD_HALF = 1 << 55
KEPT_ID = f"{0xABC << 64 | 2**56 - 1:032x}"
DROPPED_ID = f"{0xABC << 64 | 1:032x}"
PORTS = {"gateway": 1, "payment": 2, "psp": 3}


def shop(head_rate: float | None = None, broken: Service | None = None) -> Shop:
    return Shop(
        bootstrap="here",
        topics=TOPICS,
        check_topics=False,
        requests=1,
        requests_per_s=1,
        fates=Fates(),
        head_rate=head_rate,
        broken=broken,
    )


def value(service: str, *spans: Span) -> bytes:
    resource = Resource(attributes=[text("service.name", service)])
    scope_spans = [ScopeSpans(spans=spans)]
    return TracesData(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=scope_spans)]
    ).SerializeToString()


def text(key: str, said: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=said))


def span(
    service: str, kind: Kind, span_id: int, parent_id: int = 0, calls: str = "", state: str = ""
) -> tuple[str, Span]:
    port = AnyValue(int_value=PORTS.get(calls or service, 0))
    remote = SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK if kind is Kind.SERVER else 0
    return service, Span(
        trace_id=bytes.fromhex(KEPT_ID),
        span_id=span_id.to_bytes(8),
        parent_span_id=parent_id.to_bytes(8) if parent_id else b"",
        kind=kind.value,  # type: ignore[arg-type]  # a number that OTLP has a name for
        name=f"name {span_id}",
        trace_state=state,
        flags=remote,
        start_time_unix_nano=span_id,
        end_time_unix_nano=100 - span_id,
        attributes=[text("server.address", "shop"), KeyValue(key="server.port", value=port)],
    )


def checkout(state: str = "") -> list[tuple[str, Span]]:
    """The spans of a checkout that was paid and sent on."""
    return [
        span("gateway", Kind.SERVER, 1, 0, "", state),
        span("gateway", Kind.CLIENT, 2, 1, "payment", state),
        span("payment", Kind.SERVER, 3, 2, "", state),
        span("payment", Kind.CLIENT, 4, 3, "psp", state),
        span("psp", Kind.SERVER, 5, 4, "", state),
        span("gateway", Kind.PRODUCER, 6, 1, "", state),
    ]


def consumed(*services: str) -> list[tuple[str, Span]]:
    """The consumers' spans, each in a trace of its own, linked to the message."""
    made = []
    for number, service in enumerate(services, 1):
        _, process = span(service, Kind.CONSUMER, 10 + number)
        process.trace_id = number.to_bytes(16)
        process.links.add(trace_id=bytes.fromhex(KEPT_ID), span_id=(6).to_bytes(8))
        made.append((service, process))
    return made


def record(topic: str, value_: bytes = b"", key: str = "", flags: str = "01") -> ReadRecord:
    headers = [("traceparent", f"00-{KEPT_ID}-{6:016x}-{flags}".encode())]
    return ReadRecord(topic, 2, 17, key.encode(), value_, headers)


def decision(trace_id: str, spans: int, verdict: Verdict, policy: str) -> bytes:
    made = Decision(
        bytes.fromhex(trace_id),
        verdict,
        policy,
        Trigger.DECISION_WAIT,
        0,
        spans,
        0,
        1,
        True,
        1,
        Clock.LOG,
        1,
        [0],
    )
    return encode(made, config="", topic_id="", group="")


def evidence(
    spans: Iterable[tuple[str, Span]],
    *,
    kept_by: str = "",
    out: Iterable[tuple[str, Span]] = (),
    fate: Fate = Fate.PAID,
    status: int = 200,
    sampled: bool = True,
    messages: int = 1,
) -> Evidence:
    """A run of one checkout, read back."""
    made = Evidence(TOPICS)
    made.replies.append(Reply(0, fate, status, KEPT_ID if sampled else DROPPED_ID, sampled))
    counts: dict[str, int] = {}
    for service, each in spans:
        made.add(record("input", value(service, each)))
        counts[each.trace_id.hex()] = counts.get(each.trace_id.hex(), 0) + 1
    for _ in range(messages):
        made.add(record("checkouts", flags="01" if sampled else "00"))
    for trace_id, count in counts.items():
        kept = bool(kept_by) and trace_id == KEPT_ID
        verdict = Verdict.SAMPLED if kept else Verdict.NOT_SAMPLED
        made.add(record("decisions", decision(trace_id, count, verdict, kept_by)))
    for service, each in out:
        made.add(record("output", value(service, each), KEPT_ID))
    made.add_account({"exported": sum(counts.values()), "dropped": 0})
    return made


def whole(state: str = "") -> list[tuple[str, Span]]:
    return [*checkout(state), *consumed("ledger", "shipping")]


def judged(made: Evidence, of: Shop | None = None) -> Findings:
    return findings(made, of or shop())


def test_a_span_is_read_with_what_tells_who_called_whom() -> None:
    _, made = span("payment", Kind.SERVER, 3, 2, "", "ot=th:8")
    made.status.code = Status.STATUS_CODE_ERROR
    captured = AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="00-x")]))
    made.attributes.append(KeyValue(key="http.request.header.traceparent", value=captured))
    made.links.add(trace_id=b"\1" * 16, span_id=b"\2" * 8)

    (seen,) = seen_in(value("payment", made))

    assert seen == Seen(
        trace_id=KEPT_ID,
        span_id=f"{3:016x}",
        parent_id=f"{2:016x}",
        remote=True,
        service="payment",
        name="name 3",
        kind=Kind.SERVER,
        trace_state="ot=th:8",
        links=(SpanId("01" * 16, "02" * 8),),
        failed=True,
        address="shop:2",
        traceparents=("00-x",),
    )


def test_a_whole_run_has_no_faults() -> None:
    made = evidence(whole(), kept_by="rest", out=checkout())
    found = judged(made)
    assert found.faults == []
    assert (found.sampled, found.unbroken, found.orphans) == (1, 1, 0)
    assert (found.messages, found.hops, found.linked) == (1, 2, 2)
    assert found.kept_by == {"rest": 1}
    assert made.consumed
    assert made.settled


def test_nothing_is_consumed_before_every_hop_is_linked_nor_settled_before_all_is_decided() -> None:
    made = evidence([*checkout(), *consumed("ledger")], kept_by="rest", out=checkout()[1:])
    assert not made.consumed
    assert not made.settled
    made.add(record("output", value(*checkout()[0]), KEPT_ID))
    assert made.settled
    made.add_account({"exported": 1, "dropped": 0})
    assert not made.settled


def test_a_hop_without_a_link_is_a_fault() -> None:
    found = judged(evidence([*checkout(), *consumed("shipping")]))
    assert found.faults == ["1 of 2 hops over the queue without a link"]


def test_the_ledger_need_not_link_to_a_message_that_was_not_sampled() -> None:
    made = evidence(consumed("shipping"), sampled=False)
    assert (judged(made).hops, judged(made).linked) == (1, 1)


def test_a_broken_tree_and_its_orphans_are_faults() -> None:
    spans = [each for each in whole() if each[1].span_id != (3).to_bytes(8)]
    told = "; ".join(judged(evidence(spans)).faults)
    assert "1 of 1 trees are broken" in told
    assert "1 orphans" in told
    assert "payment" in told


def test_a_sampled_checkout_without_spans_is_a_broken_tree() -> None:
    found = judged(evidence([], messages=0))
    assert "1 of 1 trees are broken" in found.faults


@pytest.mark.parametrize(
    ("missing", "named"), [((3,), True), ((4, 5), True), ((5,), False), ((), False)]
)
def test_a_run_that_was_to_be_broken_is_at_fault_where_another_is_named(
    missing: tuple[int, ...], *, named: bool
) -> None:
    other = [(service, Span.FromString(each.SerializeToString())) for service, each in checkout()]
    for _, each in other:
        each.trace_id = b"\7" * 16  # by which it is known who is where
    lost = {each.to_bytes(8) for each in missing}
    spans = [each for each in whole() if each[1].span_id not in lost]
    found = judged(evidence([*spans, *other]), shop(broken=Service.PAYMENT))
    assert (found.faults == []) is named


def test_an_answer_that_does_not_fit_the_fate_is_a_fault() -> None:
    told = "1 checkouts were answered with another status than they should"
    assert told in judged(evidence(whole(), status=502)).faults
    assert told in judged(evidence(whole(), status=200, fate=Fate.REFUSED)).faults


def test_a_failed_or_slow_checkout_that_was_not_kept_is_a_fault() -> None:
    told = "1 checkouts that failed or were slow are not kept"
    assert judged(evidence(whole(), fate=Fate.SLOW)).faults == [told]
    kept = evidence(whole(), fate=Fate.SLOW, kept_by="slow", out=checkout())
    assert judged(kept).faults == []
    not_sampled = evidence([], fate=Fate.SLOW, sampled=False, messages=0)
    assert judged(not_sampled).faults == []


def test_what_was_lost_on_the_way_is_a_fault() -> None:
    made = evidence(whole())
    made.add_account({"exported": 0, "dropped": 3})
    made.add(record("dead_letters"))
    assert judged(made).faults == ["the services' exporters dropped 3 spans", "1 dead letters"]


def test_a_kept_trace_that_lacks_a_span_in_the_output_is_a_fault() -> None:
    made = evidence(whole(), kept_by="rest", out=checkout()[1:])
    assert judged(made).faults == [f"the kept trace {KEPT_ID} is not whole"]


def test_a_trace_that_the_worker_saw_incomplete_is_a_fault_unless_it_was_to_be() -> None:
    made = evidence(whole(), kept_by="cut", out=checkout())
    assert judged(made).faults == ["1 traces were incomplete when they were decided on"]


def test_the_tail_raises_the_head_s_threshold_where_it_chose_and_leaves_it_where_it_did_not() -> (
    None
):
    head = shop(head_rate=0.5)
    chosen = evidence(whole("ot=th:8"), kept_by="rest", out=checkout("ot=th:c"))
    asked_for = evidence(whole("ot=th:8"), kept_by="slow", out=checkout("ot=th:8"))
    assert (judged(chosen, head).faults, judged(chosen, head).raised) == ([], 6)
    assert (judged(asked_for, head).faults, judged(asked_for, head).left) == ([], 6)


@pytest.mark.parametrize(
    ("policy", "state"),
    [("rest", "ot=th:8"), ("rest", "ot=th:e"), ("rest", ""), ("slow", "ot=th:c"), ("slow", "")],
)
def test_any_other_threshold_is_a_fault(policy: str, state: str) -> None:
    made = evidence(whole("ot=th:8"), kept_by=policy, out=checkout(state))
    told = "6 kept spans have another ot=th than they should"
    assert judged(made, shop(head_rate=0.5)).faults == [told]


def test_a_head_that_chose_against_the_randomness_or_says_another_threshold_is_a_fault() -> None:
    head = shop(head_rate=0.5)
    untold = judged(evidence(whole("ot=th:4")), head)
    assert untold.faults == ["6 spans do not have the head's ot=th"]
    made = evidence([], sampled=False, messages=0)
    made.replies[:] = [replace(made.replies[0], trace_id=KEPT_ID)]
    told = "the head sampler chose 1 traces against their randomness"
    assert judged(made, head).faults == [told]


def test_the_report_tells_the_wire_the_parents_the_links_and_the_counts() -> None:
    made = evidence(whole(), kept_by="slow", out=checkout(), fate=Fate.SLOW)
    told = report(made, judged(made), shop(), end="the end").plain
    for line in (
        f"checkout 0, trace {KEPT_ID}",
        "gateway sets the sampled flag: every trace is sampled",
        "gateway -> checkouts   Kafka, partition 2, offset 17",
        f"traceparent: 00-{KEPT_ID}-{6:016x}-01",
        f"links to {6:016x} of {KEPT_ID}",
        "1 of 1 unbroken over HTTP (100 %), 0 orphans",
        "1 message, 2 of 2 hops linked (100 %)",
        "as it should be",
        "the end",
    ):
        assert line in told


def test_the_report_of_a_broken_run_names_the_service() -> None:
    spans = [each for each in whole() if each[1].span_id != (3).to_bytes(8)]
    out = [each for each in spans if each[1].trace_id.hex() == KEPT_ID]
    made = evidence(spans, kept_by="cut", out=out)
    broken = shop(broken=Service.PAYMENT)
    told = report(made, judged(made, broken), broken, end="").plain
    assert "no span of payment says that it was called" in told
    assert "a parent is missing: 1 times" in told
