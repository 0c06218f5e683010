"""Kept traces of the real shop in a real Zipkin, by way of a real Collector; in a browser."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from stream.demo.shop.fate import Fates
from stream.testing.spans import MS, a_span, resource_spans, traces_data
from tests.harness.load import partition_of
from tests.harness.oracle import Rules
from tests.harness.topics import Topics, topics_of_a_test, wait_for
from tests.harness.verify import STAMPS, Written, read_back
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided
from tests.real.chromium import Chromium, picture_of
from tests.real.kept_to_zipkin import kept_to_zipkin
from tests.real.open_shop import open_shop
from tests.real.report import Report
from tests.real.service_spans import ServiceSpan, by_trace
from tests.real.trace_views import assert_zipkin_s_page_shows, drawn_by_show
from tests.real.zipkin_server import Zipkin, ZipkinSpan

pytestmark = pytest.mark.real

SECTION: Final = "Zipkin: kept traces in a trace UI"
WAY: Final = (
    "kept traces: by the worker to `topics.output`, by a Collector (kafkareceiver, kafkaexporter "
    "with `zipkin_json`) to Zipkin's Kafka collector, there by its API"
)
RULES: Final = Rules(decision_wait_ms=4_000, slow_ms=1_000, percentage=20)
FATES: Final = Fates(seed=3, slow_share=0.08, refused_share=0.08, slow_s=1.3)
CHECKOUTS, PER_S = 80, 10.0
COLLECT_TIMEOUT_S: Final = 180.0
MADE_UP: Final = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
ROOT_ID, CALL_ID, TINY_ID = (bytes([number]) * 8 for number in (1, 2, 3))
KINDS: Final = {1: None, 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
"""Zipkin has no INTERNAL."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What the topics hold, what Zipkin has of it, and the worker's settings file."""

    written: Written
    sent: dict[str, list[ServiceSpan]]
    kept: dict[str, list[ServiceSpan]]
    zipkin: Zipkin
    found: dict[str, list[ZipkinSpan]]
    config: Path


@pytest.fixture(scope="module")
def brought(
    kafka: str,
    zipkin: Zipkin,
    zipkin_topic: str,
    collector: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Brought]:
    home = tmp_path_factory.mktemp("zipkin-shop")
    with ExitStack() as running:
        topics = running.enter_context(topics_of_a_test(kafka))
        worker = WorkerProcess(topics, RULES, home, slot="worker")
        running.callback(worker.close)
        way = running.enter_context(kept_to_zipkin(collector, topics, zipkin_topic, home))
        worker.start()
        worker.wait_until_ready()
        send_a_made_up_trace(topics)
        shop = running.enter_context(open_shop(topics, home, FATES))
        shop.serve(range(CHECKOUTS), PER_S, lambda _: None)
        shop.close_up()
        wait_until_all_is_decided(topics, [worker])
        written = read_back(topics)
        kept = by_trace(written.output)

        def is_collected() -> bool:
            way.assert_runs()
            counts = {each: len(spans) for each, spans in kept.items()}
            return counts == {each: len(zipkin.trace(each)) for each in kept}

        wait_for("all kept spans in Zipkin", is_collected, timeout_s=COLLECT_TIMEOUT_S)
        found = {each: zipkin.trace(each) for each in kept}
        config = home / "worker" / "tailstream.yaml"
        yield Brought(written, by_trace(written.input), kept, zipkin, found, config)


def send_a_made_up_trace(topics: Topics) -> None:
    """Send what the shop's SDK does not make: every kind of value, and two spans with one id."""
    now_ns = time.time_ns() // MS * MS + 123
    root = a_span(
        trace_id=MADE_UP,
        span_id=ROOT_ID,
        name="POST /Refund",
        start_ns=now_ns,
        end_ns=now_ns + 100 * MS,
        status=Status.STATUS_CODE_ERROR,
        status_message="no money left",
        attributes={"text": "ä", "whole": -3, "yes": True, "half": 0.5, "list": ["a", "b"]},
        trace_state="congo=t61rcWkgMzE",
        events=[Span.Event(name="card refused", time_unix_nano=now_ns + 5 * MS)],
        links=[Span.Link(trace_id=b"\x0b" * 16, span_id=b"\x0c" * 8)],
    )
    call, called, tiny = (
        a_span(
            trace_id=MADE_UP,
            span_id=span_id,
            parent_span_id=parent_id,
            name=name,
            kind=kind,
            start_ns=now_ns + MS,
            end_ns=now_ns + MS + took_ns,
        )
        for span_id, parent_id, name, kind, took_ns in (
            (CALL_ID, ROOT_ID, "refund call", Span.SPAN_KIND_CLIENT, 90 * MS),
            (CALL_ID, ROOT_ID, "refund", Span.SPAN_KIND_SERVER, 80 * MS),
            (TINY_ID, CALL_ID, "look up", Span.SPAN_KIND_INTERNAL, 300),
        )
    )
    producer = Producer({"bootstrap.servers": topics.bootstrap})
    key = MADE_UP.hex().encode()
    for service, spans in (("Gateway", [root, call]), ("bank", [called, tiny])):
        value = traces_data(resource_spans(spans, service=service))
        producer.produce(topics.input, value, key, partition_of(key))
    assert producer.flush(60) == 0


def test_zipkin_has_every_kept_trace_with_every_span_below_its_parent(
    brought: Brought, report: Report
) -> None:
    services = {span.service for spans in brought.kept.values() for span in spans}
    spans = sum(map(len, brought.kept.values()))

    assert {"gateway", "payment", "psp", "ledger"} <= services
    for trace_id, kept in brought.kept.items():
        found = [(each["id"], each.get("parentId", "")) for each in brought.found[trace_id]]
        assert sorted(found) == sorted(span.ids for span in kept), trace_id
    whole = f"{len(brought.kept)} of {len(brought.kept)}, {spans} of {spans} spans"
    report.found(SECTION, WAY, f"{whole}, each below its parent")


def test_zipkin_has_no_trace_that_was_dropped(brought: Brought, report: Report) -> None:
    dropped = brought.sent.keys() - brought.kept.keys()

    assert len(dropped) > 10
    assert brought.kept.keys() <= brought.zipkin.trace_ids()
    assert not dropped & brought.zipkin.trace_ids()
    report.found(SECTION, "dropped traces there", f"0 of {len(dropped)}")


def test_every_span_has_its_name_kind_service_times_and_attributes(brought: Brought) -> None:
    for trace_id, kept in brought.kept.items():
        found = {(each["id"], each.get("kind")): each for each in brought.found[trace_id]}
        for span in kept:
            shown = found[span.ids[0], KINDS[span.span.kind]]
            assert shown["localEndpoint"]["serviceName"] == span.service.lower()
            assert shown["name"] == span.span.name.lower()
            start_ns, end_ns = span.span.start_time_unix_nano, span.span.end_time_unix_nano
            assert abs(shown["timestamp"] - start_ns / 1000) <= 1
            assert abs(shown["duration"] - (end_ns - start_ns) / 1000) <= 1
            assert tags_of(span.span).items() <= shown["tags"].items()


def tags_of(span: Span) -> dict[str, str]:
    """Return the tags that the Collector makes of a span's attributes, status and links."""
    tags = {each.key: text_of(each.value) for each in span.attributes}
    assert {*STAMPS} <= tags.keys()
    if span.trace_state:
        tags["w3c.tracestate"] = span.trace_state
    if span.status.code == Status.STATUS_CODE_ERROR:
        tags |= {"error": "true", "otel.status_code": "STATUS_CODE_ERROR"}
    for number, link in enumerate(span.links):
        there = f"{link.trace_id.hex()}|{link.span_id.hex()}|{link.trace_state}|"
        attributes = {each.key: json_of(each.value) for each in link.attributes}
        told = json.dumps(attributes, separators=(",", ":"), sort_keys=True)
        tags[f"otlp.link.{number}"] = f"{there}{told}|{link.dropped_attributes_count}"
    return tags


def text_of(value: Any) -> str:
    """Return a value as a tag has it: texts bare, all else as JSON."""
    told = json_of(value)
    return told if isinstance(told, str) else json.dumps(told, separators=(",", ":"))


def json_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [json_of(each) for each in value.array_value.values]
    return getattr(value, kind)


def test_what_zipkin_shows_otherwise_is_written_down(brought: Brought, report: Report) -> None:
    by_name = {each["name"]: each for each in brought.found[MADE_UP.hex()]}
    root, tiny = by_name["post /refund"], by_name["look up"]

    assert (root["name"], root["localEndpoint"]["serviceName"]) == ("post /refund", "gateway")
    (moment,) = root["annotations"]
    assert moment == {"timestamp": root["timestamp"] + 5_000, "value": "card refused"}
    assert root["tags"]["otel.status_description"] == "no money left"
    assert (tiny["duration"], tiny["tags"]["span.kind"]) == (1, "internal")
    link, state = (root["tags"][name] for name in ("otlp.link.0", "w3c.tracestate"))
    for what, value in {
        "names": "in lower case: `POST /Refund` of `Gateway` is `post /refund` of `gateway`",
        "times": "whole microseconds; a span of 300 ns is one of 1 µs",
        "span events": "annotations",
        "span links": f"tags, which nobody can click: `otlp.link.0` = `{link}`",
        "tracestate": f"a tag: `w3c.tracestate` = `{state}`",
        "kind INTERNAL": "a tag: `span.kind` = `internal`",
        "policy and trigger": ", ".join(f"`{name}` = `{root['tags'][name]}`" for name in STAMPS),
    }.items():
        report.found(SECTION, what, value)


def test_a_call_whose_halves_share_one_id_is_a_client_above_its_server(
    brought: Brought, chromium: Chromium, report: Report, tmp_path: Path
) -> None:
    halves = [each for each in brought.found[MADE_UP.hex()] if each["id"] == CALL_ID.hex()]
    (decision,) = (told for _, told in brought.written.decisions if told["trace_id"] == MADE_UP)
    drawn = drawn_by_show(MADE_UP.hex(), brought.config)
    with chromium.opened(brought.zipkin.page_of(MADE_UP.hex()), height=640) as page:
        page.wait_for_function("id => document.body.innerText.includes(id)", arg=MADE_UP.hex())
        lines = page.inner_text("body").splitlines()
        picture = picture_of(page, tmp_path / "zipkin-shared-span-id.png")

    assert sorted(each["kind"] for each in halves) == ["CLIENT", "SERVER"]
    assert (decision["spans"], decision["duplicates"]) == (4, 0)
    client, server, below = (
        next(line.index(name) for line in drawn.splitlines() if name in line)
        for name in ("refund call ", "refund  ", "look up ")
    )
    assert client < server < below
    # Its page makes one row of such a pair, and counts it as one.
    assert lines[lines.index("Total Spans") + 1] == "3"
    assert "bank: refund" in lines
    told = (
        "2 sent, 2 kept, 2 by its API; its page makes one row of them, "
        "`tailstream show` draws the client above the server"
    )
    report.found(SECTION, "a call whose halves share one span id, as Zipkin's B3 has it", told)
    report.picture(SECTION, picture, "A call whose client and server share a span id, in Zipkin")
    report.text(SECTION, "That call by `tailstream show`", drawn)


def test_a_browser_shows_a_kept_trace_and_tailstream_show_draws_the_same(
    brought: Brought, chromium: Chromium, report: Report, tmp_path: Path
) -> None:
    trace_id = the_checkout_that_was_refused(brought)
    kept = brought.kept[trace_id]
    drawn = drawn_by_show(trace_id, brought.config)

    with chromium.opened(brought.zipkin.page_of(trace_id), height=640) as page:
        assert_zipkin_s_page_shows(page, trace_id, kept)
        page.get_by_text("tailstream.trigger", exact=True).scroll_into_view_if_needed()
        picture = picture_of(page, tmp_path / "zipkin-kept-trace.png")

    assert drawn.startswith(trace_id)
    assert Counter(drawn.split())["ERROR"] == sum(span.span.status.code == 2 for span in kept)
    for span in kept:
        assert any(
            f"{span.span.name} " in line and span.service in line for line in drawn.splitlines()
        )
    report.picture(SECTION, picture, "A checkout that was refused, kept by `errors`, in Zipkin")
    report.text(SECTION, "The same trace by `tailstream show`", drawn)


def the_checkout_that_was_refused(brought: Brought) -> str:
    """Return the kept trace with an error in it that has the most spans; the shop's, not ours."""
    failed = {
        trace_id: len(spans)
        for trace_id, spans in brought.kept.items()
        if any(span.span.status.code == Status.STATUS_CODE_ERROR for span in spans)
    }
    return max(failed.keys() - {MADE_UP.hex()}, key=lambda each: (failed[each], each))
