"""From a latency spike on a chart to the trace behind it, by one click, with everything real.

Customers time the shop's checkouts; Prometheus scrapes that with exemplars; `tailstream exemplars`
asks Prometheus and pins their traces, which no policy wants; the worker keeps them; a Collector
brings them to Zipkin; a browser clicks on a dot of the chart.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import CollectorRegistry, Histogram, start_http_server

from stream.demo.shop.fate import Fate, Fates
from tests.harness.exemplars_process import ExemplarsProcess
from tests.harness.http_pages import Page as Answer
from tests.harness.http_pages import served
from tests.harness.oracle import Rules
from tests.harness.reading import read_whole
from tests.harness.topics import metrics_topic_of, topics_of_a_test, wait_for
from tests.harness.verify import Written, read_back
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided
from tests.real.chart_page import Chart, Point
from tests.real.chromium import Chromium, picture_of
from tests.real.kept_to_zipkin import KeptToZipkin
from tests.real.open_shop import Checkout, OpenShop, open_shop
from tests.real.prometheus_build import Binaries
from tests.real.prometheus_server import Prometheus
from tests.real.report import Report
from tests.real.service_spans import by_trace
from tests.real.trace_views import assert_zipkin_s_page_shows, drawn_by_show
from tests.real.zipkin_server import Zipkin

pytestmark = pytest.mark.real

SECTION: Final = "The click from a metric to its trace"
RULES: Final = Rules(decision_wait_ms=3_000, slow_ms=60_000, percentage=0)
MISTUNED: Final = [{"name": "slow", "type": "latency", "latency": {"threshold_ms": RULES.slow_ms}}]
FATES: Final = Fates(seed=5, slow_share=0.4, refused_share=0.0, slow_s=1.6)
NUMBERS: Final = range(2_000)
CALM, SPIKE = 100, 60
PER_S: Final = 8.0
BOUNDS_S: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 1.5, 1.75, 2, 2.5, 5, 10)
NAME: Final = "shop_checkout_duration_seconds"
P99: Final = f"histogram_quantile(0.99, sum by (le) (rate({NAME}_bucket[5s])))"
PINS_TIMEOUT_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Watched:
    """What Prometheus answers, what the topics hold, where the traces are, the worker's file."""

    line: list[Point]
    exemplars: list[Point]
    checkouts: list[Checkout]
    written: Written
    zipkin: Zipkin
    config: Path


@pytest.fixture(scope="module")
def watched(
    kafka: str,
    prometheus: Binaries,
    collector: Path,
    zipkin: Zipkin,
    zipkin_topic: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watched]:
    home = tmp_path_factory.mktemp("clicked")
    with ExitStack() as running:
        topics = running.enter_context(topics_of_a_test(kafka))
        running.enter_context(metrics_topic_of(topics, partitions=1))
        worker = WorkerProcess(topics, RULES, home, slot="worker", policies=MISTUNED)
        running.callback(worker.close)
        worker.start()
        way = KeptToZipkin(collector, topics, zipkin_topic, home)
        running.callback(way.close)
        registry = CollectorRegistry()
        pages, thread = start_http_server(0, "127.0.0.1", registry)
        running.callback(thread.join)
        running.callback(pages.server_close)
        running.callback(pages.shutdown)
        server = Prometheus(prometheus.prometheus, [f"127.0.0.1:{pages.server_port}"], home)
        running.callback(server.close)
        server.wait()
        asked = {"exemplars.prometheus.url": server.url, "exemplars.prometheus.interval": "1s"}
        pinner = ExemplarsProcess(topics, home, more=asked)
        running.callback(pinner.close)
        pinner.start()
        shop = running.enter_context(open_shop(topics, home, FATES))
        worker.wait_until_ready()
        start_s = time.time()
        checkouts = spike(shop, registry)
        shop.close_up()

        def is_scraped() -> bool:
            found = server.now(f"sum({NAME}_count)")
            return bool(found) and float(found[0]["value"][1]) == len(checkouts)

        wait_for("a scrape of the last checkout", is_scraped, timeout_s=PINS_TIMEOUT_S)
        end_s = time.time()
        exemplars = [
            Point(each["timestamp"], float(each["value"]), each["labels"]["trace_id"])
            for each in server.exemplars(f"{NAME}_bucket", start_s, end_s)
        ]
        sent = by_trace(read_whole(kafka, topics.input))

        def is_there() -> bool:
            pinner.assert_runs()
            worker.assert_runs()
            way.assert_runs()
            return all(len(zipkin.trace(p.trace_id)) == len(sent[p.trace_id]) for p in exemplars)

        wait_for("each exemplar's trace in Zipkin", is_there, timeout_s=PINS_TIMEOUT_S)
        wait_until_all_is_decided(topics, [worker])
        (series,) = server.between(P99, start_s, end_s)
        line = [Point(float(at_s), float(value)) for at_s, value in series["values"]]
        yield Watched(
            [point for point in line if not math.isnan(point.value)],
            exemplars,
            checkouts,
            read_back(topics),
            zipkin,
            home / "worker" / "tailstream.yaml",
        )


def spike(shop: OpenShop, registry: CollectorRegistry) -> list[Checkout]:
    """Let customers buy: for a while all goes fast, then much is slow, then all is fast again."""
    durations = Histogram(NAME, "What a customer waits.", registry=registry, buckets=BOUNDS_S)

    def observe(checkout: Checkout) -> None:
        durations.observe(checkout.duration_s, {"trace_id": checkout.trace_id})

    calm = [number for number in NUMBERS if FATES.of(number) is Fate.PAID]
    numbers = [*calm[:CALM], *NUMBERS[-SPIKE:], *calm[CALM : 2 * CALM]]
    return shop.serve(numbers, PER_S, observe)


def test_every_exemplar_that_prometheus_has_leads_to_a_trace_that_zipkin_has_whole(
    watched: Watched, report: Report
) -> None:
    sent, named = by_trace(watched.written.input), {dot.trace_id for dot in watched.exemplars}

    assert {checkout.status for checkout in watched.checkouts} == {200}
    assert len(named) > 20
    for trace_id in named:
        found = [(each["id"], each.get("parentId", "")) for each in watched.zipkin.trace(trace_id)]
        assert sorted(found) == sorted(span.ids for span in sent[trace_id]), trace_id
    report.found(SECTION, "checkouts", f"{len(watched.checkouts)}")
    report.found(
        SECTION,
        "traces that Prometheus's exemplars name, whole in Zipkin",
        f"{len(named)} of {len(named)}",
    )


def test_they_were_kept_by_their_pins_alone_and_nothing_else_was_kept(
    watched: Watched, report: Report
) -> None:
    named = {dot.trace_id for dot in watched.exemplars}
    kept = [told for _, told in watched.written.decisions if told["verdict"] == "sampled"]
    dropped = by_trace(watched.written.input).keys() - named
    triggers = Counter(told["trigger"] for told in kept)

    assert {told["trace_id"].hex() for told in kept} == named
    assert {told["policy"] for told in kept} == {"pin"}
    assert len(dropped) > 20
    assert not dropped & watched.zipkin.trace_ids()
    told = ", ".join(f"{count} `{trigger}`" for trigger, count in sorted(triggers.items()))
    report.found(SECTION, "wanted by a policy", f"0 of {len(named)}; by their pins: {told}")
    report.found(SECTION, "traces that no exemplar names", f"0 of {len(dropped)} in Zipkin")


def test_a_click_on_the_slowest_dot_of_the_spike_opens_its_trace(
    watched: Watched, chromium: Chromium, report: Report, tmp_path: Path
) -> None:
    slowest = max(watched.exemplars, key=lambda dot: dot.value)
    spans = by_trace(watched.written.input)[slowest.trace_id]
    chart = Chart(
        title="Checkouts: p99 of what customers wait",
        query=P99,
        line=watched.line,
        exemplars=watched.exemplars,
        page_of=watched.zipkin.page_of,
    ).html()
    shown = Answer(chart.encode(), content_type="text/html; charset=utf-8")

    with served(lambda _: shown) as pages, chromium.opened(pages.url, height=500) as page:
        assert page.locator("a.exemplar").count() == len(watched.exemplars)
        before = picture_of(page, tmp_path / "chart-p99-with-exemplars.png")
        page.locator("a.exemplar").last.click()
        assert_zipkin_s_page_shows(page, slowest.trace_id, spans)
        after = picture_of(page, tmp_path / "zipkin-trace-after-the-click.png")
    drawn = drawn_by_show(slowest.trace_id, watched.config)

    assert slowest.value >= FATES.slow_s
    assert "POST /authorise" in drawn
    waited = f"{slowest.value:.2f} s"
    report.picture(SECTION, before, f"p99 and exemplars, by Prometheus; the slowest: {waited}")
    report.picture(SECTION, after, "Where the click on that dot leads: its trace in Zipkin, whole")
    report.text(SECTION, "The same trace by `tailstream show`", drawn)
