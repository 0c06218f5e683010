"""From a latency spike on a chart to the trace behind it, by one click, with everything real.

Customers time the shop's checkouts; Prometheus scrapes that with exemplars; `tailstream exemplars`
asks Prometheus and pins their traces, which no policy wants. It comes only when the spike is over
and all of its traces have been dropped: those are promoted. A Collector brings all to Zipkin; a
browser clicks on a dot of the chart.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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
from tests.harness.topics import Topics, metrics_topic_of, topics_of_a_test, wait_for
from tests.harness.verify import Written, read_back
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided
from tests.real.chart_page import Chart, Point
from tests.real.chromium import Chromium, picture_of
from tests.real.kept_to_zipkin import kept_to_zipkin
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
CALM, SPIKE = 80, 60
PER_S: Final = 8.0
BOUNDS_S: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 1.5, 1.6, 1.65, 1.7, 1.8, 2, 2.5, 5, 10)
NAME: Final = "shop_checkout_duration_seconds"
P99: Final = f"histogram_quantile(0.99, sum by (le) (rate({NAME}_bucket[5s])))"
PINS_TIMEOUT_S: Final = 180.0
ASKED: Final = {"exemplars.prometheus.interval": "1s", "exemplars.prometheus.overlap": "10m"}


@dataclass(frozen=True, slots=True)
class Watched:
    """What Prometheus answers, what the topics hold, where the traces are, the worker's file.

    `early`: the traces that were dropped before `tailstream exemplars` was there.
    """

    line: list[Point]
    exemplars: list[Point]
    early: set[str]
    written: Written
    zipkin: Zipkin
    config: Path

    @property
    def named(self) -> set[str]:
        """The traces that exemplars name."""
        return {dot.trace_id for dot in self.exemplars}


class Customers:
    """They buy at an even pace and time it, in a thread: fast, then slow ones too, fast again."""

    def __init__(self, shop: OpenShop, registry: CollectorRegistry) -> None:
        durations = Histogram(NAME, "What a customer waits.", registry=registry, buckets=BOUNDS_S)
        self.checkouts: list[Checkout] = []

        def observe(checkout: Checkout) -> None:
            durations.observe(checkout.duration_s, {"trace_id": checkout.trace_id})
            self.checkouts.append(checkout)

        calm = [number for number in NUMBERS if FATES.of(number) is Fate.PAID]
        numbers = [*calm[:CALM], *NUMBERS[-SPIKE:], *calm[CALM : 3 * CALM]]
        self._thread = ThreadPoolExecutor(1)
        self._served = self._thread.submit(shop.serve, numbers, PER_S, observe)

    def finish(self) -> None:
        """Wait until all have been answered."""
        self._served.result()
        self._thread.shutdown()
        assert {checkout.status for checkout in self.checkouts} == {200}


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
        way = running.enter_context(kept_to_zipkin(collector, topics, zipkin_topic, home))
        registry = CollectorRegistry()
        targets = {"": [running.enter_context(scraped(registry))]}
        server = Prometheus(prometheus.prometheus, targets, home)
        running.callback(server.close)
        server.wait()
        shop = running.enter_context(open_shop(topics, home, FATES))
        worker.wait_until_ready()
        start_s = time.time()
        customers = Customers(shop, registry)
        early = until_the_spike_is_dropped(topics, customers)
        pinner = ExemplarsProcess(
            topics, home, more={**ASKED, "exemplars.prometheus.url": server.url}
        )
        running.callback(pinner.close)
        pinner.start()
        customers.finish()
        shop.close_up()
        wait_for("its last scrape", lambda: count(server) == len(customers.checkouts), timeout_s=60)
        end_s = time.time()
        exemplars = exemplars_of(server, start_s, end_s)
        sent = by_trace(read_whole(kafka, topics.input))

        def is_there() -> bool:
            for process in (pinner, worker, way):
                process.assert_runs()
            return all(len(zipkin.trace(p.trace_id)) == len(sent[p.trace_id]) for p in exemplars)

        wait_for("each exemplar's trace in Zipkin", is_there, timeout_s=PINS_TIMEOUT_S)
        wait_until_all_is_decided(topics, [worker])
        line, config = p99(server, start_s, end_s), home / "worker" / "tailstream.yaml"
        yield Watched(line, exemplars, early, read_back(topics), zipkin, config)


@contextmanager
def scraped(registry: CollectorRegistry) -> Iterator[str]:
    """Serve the metrics; give where."""
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def until_the_spike_is_dropped(topics: Topics, customers: Customers) -> set[str]:
    """Wait until the worker has decided on all up to the end of the spike; return their traces."""
    wait_for("spike", lambda: len(customers.checkouts) >= CALM + SPIKE, timeout_s=PINS_TIMEOUT_S)
    early = {checkout.trace_id for checkout in customers.checkouts[: CALM + SPIKE]}

    def is_decided() -> bool:
        decisions = read_whole(topics.bootstrap, topics.decisions)
        return early <= {record.key.decode() for record in decisions}

    wait_for("decisions on the spike", is_decided, timeout_s=PINS_TIMEOUT_S)
    return early


def count(server: Prometheus) -> float:
    return sum(float(series["value"][1]) for series in server.now(f"sum({NAME}_count)"))


def exemplars_of(server: Prometheus, start_s: float, end_s: float) -> list[Point]:
    return [
        Point(each["timestamp"], float(each["value"]), each["labels"]["trace_id"])
        for each in server.exemplars(f"{NAME}_bucket", start_s, end_s)
    ]


def p99(server: Prometheus, start_s: float, end_s: float) -> list[Point]:
    """Return the line; where nobody bought anything it has no value."""
    (series,) = server.between(P99, start_s, end_s)
    points = [Point(float(at_s), float(value)) for at_s, value in series["values"]]
    return [point for point in points if not math.isnan(point.value)]


def test_every_exemplar_that_prometheus_has_leads_to_a_trace_that_zipkin_has_whole(
    watched: Watched, report: Report
) -> None:
    sent = by_trace(watched.written.input)

    assert watched.named
    for trace_id in watched.named:
        found = [(each["id"], each.get("parentId", "")) for each in watched.zipkin.trace(trace_id)]
        assert sorted(found) == sorted(span.ids for span in sent[trace_id]), trace_id
    whole = f"{len(watched.named)} of {len(watched.named)}"
    report.found(SECTION, "traces that exemplars name: whole in Zipkin", whole)


def test_their_pins_alone_kept_them_or_promoted_them_after_they_were_dropped(
    watched: Watched, report: Report
) -> None:
    kept = [told for _, told in watched.written.decisions if told["verdict"] == "sampled"]
    triggers: dict[str, str] = {}
    for told in kept:  # what was late comes after
        triggers.setdefault(told["trace_id"].hex(), told["trigger"])
    early = watched.early & watched.named
    others = by_trace(watched.written.input).keys() - watched.named

    assert triggers.keys() == watched.named
    assert {told["policy"] for told in kept} == {"pin"}
    assert early
    assert {triggers[trace_id] for trace_id in early} == {"promoted"}
    assert others
    assert not others & watched.zipkin.trace_ids()
    counts = Counter(triggers.values())
    by_pins = ", ".join(f"{counts[each]} `{each}`" for each in sorted(counts))
    report.found(
        SECTION, "traces that exemplars name: wanted by a policy", f"none; by their pins: {by_pins}"
    )
    report.found(SECTION, "traces that no exemplar names", f"0 of {len(others)} in Zipkin")


def test_a_click_on_the_slowest_dot_of_the_spike_opens_its_trace(
    watched: Watched, chromium: Chromium, report: Report, tmp_path: Path
) -> None:
    slowest = max(watched.exemplars, key=lambda dot: dot.value)
    spans = by_trace(watched.written.input)[slowest.trace_id]
    drawn = drawn_by_show(slowest.trace_id, watched.config)
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
        page.locator("a.exemplar").last.hover()
        before = picture_of(page, tmp_path / "chart-p99-with-exemplars.png")
        page.locator("a.exemplar").last.click()
        assert_zipkin_s_page_shows(page, slowest.trace_id, spans)
        after = picture_of(page, tmp_path / "zipkin-trace-after-the-click.png")

    assert slowest.value >= FATES.slow_s
    assert "POST /authorise" in drawn
    report.picture(SECTION, before, "p99 and exemplars, by Prometheus; black: the one clicked on")
    report.picture(SECTION, after, "Where the click on that dot leads: its trace in Zipkin, whole")
    report.text(SECTION, "The same trace by `tailstream show`", drawn)
