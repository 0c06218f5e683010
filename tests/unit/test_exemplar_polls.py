"""Exemplars from Prometheus and OpenMetrics endpoints, asked for over real HTTP."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import pytest

from stream.exemplars.exemplar import NO_TRACE, Exemplar, time_ms_of, trace_id_of
from stream.exemplars.fetching import AnswerTooLargeError, Fetcher, PollFailedError
from stream.exemplars.openmetrics import Endpoint, OpenMetricsSource
from stream.exemplars.polling import Pace, Polling
from stream.exemplars.prometheus import PrometheusSource, Question
from stream.metrics import EXEMPLARS_DECLARATIONS, Metrics
from tests.harness.http_pages import Asked, Page, served

LABELS = ("trace_id", "traceID")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
NOW_S = 1_790_000_000.0

T = TypeVar("T")


def fetching(work: Callable[[Fetcher], Awaitable[T]], *, bytes_max: int = 1 << 20) -> T:
    async def with_session() -> T:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            return await work(Fetcher(session, bytes_max))

    return asyncio.run(with_session())


def prometheus_answer(*exemplars: dict[str, Any]) -> Page:
    data = [{"seriesLabels": {"__name__": "m"}, "exemplars": list(exemplars)}]
    return Page(json.dumps({"status": "success", "data": data}).encode())


@dataclass
class Clock:
    now_s: float = NOW_S

    def __call__(self) -> float:
        return self.now_s


def question(url: str, *, overlap_s: float = 60.0, query: str = "m") -> Question:
    headers = {"X-Scope-OrgID": "blue"}
    return Question(
        url=url, query=query, overlap_s=overlap_s, trace_id_labels=LABELS, headers=headers
    )


def test_prometheus_is_asked_for_the_query_and_its_exemplars_are_found() -> None:
    answer = prometheus_answer(
        {"labels": {"trace_id": TRACE}, "value": "6", "timestamp": 1_600_096_945.479},
        {"labels": {"traceID": TRACE.upper(), "x": "y"}, "value": "6", "timestamp": 1},
        {"labels": {"other": TRACE}, "value": "6", "timestamp": 2},
    )
    with served(lambda _: answer) as pages:
        ask = lambda fetcher: PrometheusSource(question(pages.url), fetcher, Clock()).ask()  # noqa: E731 - it is handed on
        found, more = fetching(ask)

    trace_id = bytes.fromhex(TRACE)
    assert found == [
        Exemplar(trace_id, 1_600_096_945_479),
        Exemplar(trace_id, 1_000),
        Exemplar(b"", 2_000),
    ]
    assert not more
    (asked,) = pages.asked
    assert asked.path == "/api/v1/query_exemplars"
    assert asked.parameters == {"query": "m", "start": f"{NOW_S - 60:.3f}", "end": f"{NOW_S:.3f}"}
    assert asked.headers["X-Scope-OrgID"] == "blue"


def windows(asked: Sequence[Asked]) -> list[tuple[float, float]]:
    return [(float(one.parameters["start"]), float(one.parameters["end"])) for one in asked]


def test_windows_overlap_and_leave_no_time_out_through_an_outage_of_prometheus() -> None:
    clock = Clock()

    async def ask_in_turn(fetcher: Fetcher) -> None:
        source = PrometheusSource(question(pages.url), fetcher, clock)
        for pause_s in (15, 15, 1_000, 15):
            more = True
            while more:
                _, more = await source.ask()
            clock.now_s += pause_s
            pages.answer = lambda _: Page(b"down", 503)
            with pytest.raises(PollFailedError, match="status 503: down"):
                await source.ask()
            failed.append(pages.asked.pop())
            pages.answer = lambda _: prometheus_answer()

    failed: list[Asked] = []
    with served(lambda _: prometheus_answer()) as pages:
        fetching(ask_in_turn)

    found = windows(pages.asked)
    assert found[:3] == [
        (NOW_S - 60, NOW_S),
        (NOW_S - 60, NOW_S + 15),
        (NOW_S - 45, NOW_S + 30),
    ]
    covered_s = NOW_S - 60
    for start_s, end_s in found:
        assert start_s <= covered_s, "a gap"
        assert end_s - start_s <= 300
        covered_s = max(covered_s, end_s)
    assert covered_s == NOW_S + 1_030


def test_an_answer_that_is_too_large_is_asked_for_by_halves_and_the_smallest_is_left_out() -> None:
    too_large = Page(b"x" * 2_000)
    big_bang_s = NOW_S - 10.0

    def answer(asked: Asked) -> Page:
        start_s, end_s = windows([asked])[0]
        return too_large if start_s <= big_bang_s < end_s else prometheus_answer()

    async def ask_until_done(fetcher: Fetcher) -> int:
        source = PrometheusSource(question(pages.url), fetcher, Clock())
        too_large_answers = 0
        more = True
        while more:
            try:
                _, more = await source.ask()
            except AnswerTooLargeError:
                too_large_answers += 1
                assert too_large_answers < 50, "it never ends"
        return too_large_answers

    with served(answer) as pages:
        assert fetching(ask_until_done, bytes_max=1_000) >= 6

    good = [one for one in windows(pages.asked) if not one[0] <= big_bang_s < one[1]]
    assert sum(end_s - start_s for start_s, end_s in good) >= 58


@pytest.mark.parametrize(
    "page",
    [
        Page(b"not json"),
        Page(b"[" * 100_000),
        Page(b"null"),
        Page(b'{"status": "error", "error": "no"}'),
        Page(b'{"status": "success", "data": {}}'),
        Page(b'{"status": "success", "data": [1]}'),
        Page(b'{"status": "success", "data": [{"exemplars": "x"}]}'),
        Page(b'{"status": "success", "data": [{"exemplars": [{"labels": 1}]}]}'),
        Page(b'{"status": "success", "data": [{"exemplars": [{"labels": {"trace_id": 1}}]}]}'),
        Page(b"bad query", 400),
        Page(b"", 302),
        Page(b"{" + b" " * (1 << 21)),
    ],
)
def test_any_other_answer_is_a_failure_with_a_reason_and_no_more(page: Page) -> None:
    async def ask(fetcher: Fetcher) -> None:
        with pytest.raises(PollFailedError, match=r"\w"):
            await PrometheusSource(question(pages.url), fetcher, Clock()).ask()

    with served(lambda _: page) as pages:
        fetching(ask)


def test_credentials_follow_no_redirect() -> None:
    async def ask(fetcher: Fetcher) -> None:
        with pytest.raises(PollFailedError, match="status 302"):
            await PrometheusSource(question(pages.url), fetcher, Clock()).ask()

    with served(lambda _: prometheus_answer()) as elsewhere:
        with served(lambda _: Page(b"", 302, location=elsewhere.url)) as pages:
            fetching(ask)
        assert elsewhere.asked == []


def test_a_url_with_a_path_and_a_query_keeps_them() -> None:
    with served(lambda _: prometheus_answer()) as pages:
        asked_of = question(f"{pages.url}/prometheus/?token=s3cr3t")
        source = fetching(lambda fetcher: asked(PrometheusSource(asked_of, fetcher, Clock())))

    (request,) = pages.asked
    assert request.path == "/prometheus/api/v1/query_exemplars"
    assert request.parameters["token"] == "s3cr3t"
    assert source.target == f"{pages.url}/prometheus/"


async def asked(source: PrometheusSource) -> PrometheusSource:
    await source.ask()
    return source


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"trace_id": TRACE}, bytes.fromhex(TRACE)),
        ({"traceID": TRACE, "trace_id": "1" * 32}, b"\x11" * 16),
        ({"traceID": TRACE, "trace_id": ""}, bytes.fromhex(TRACE)),
        # Tempo leaves leading zeros away; Jaeger's old ids have 64 bits.
        ({"traceID": TRACE[2:]}, bytes.fromhex("00" + TRACE[2:])),
        ({"traceID": TRACE[1:]}, bytes.fromhex("0" + TRACE[1:])),
        ({"traceID": TRACE[:16]}, bytes(8) + bytes.fromhex(TRACE[:16])),
        ({"traceID": TRACE[:15]}, NO_TRACE),
        ({"traceID": TRACE + "0"}, NO_TRACE),
        ({"traceID": " " + TRACE}, NO_TRACE),
        ({"traceID": "0" * 32}, NO_TRACE),
        ({"TRACE_ID": TRACE}, b""),
        ({}, b""),
    ],
)
def test_a_label_tells_the_trace_id_also_where_zeros_before_it_are_missing(
    labels: dict[str, str], expected: bytes
) -> None:
    assert trace_id_of(labels, LABELS) == expected


@pytest.mark.parametrize("seconds", [None, "1", float("nan"), float("inf"), -1, 0, 1e300, [1]])
def test_a_time_that_is_none_is_left_out(seconds: object) -> None:
    assert time_ms_of(seconds) is None


def openmetrics(*trace_ids: str) -> Page:
    lines = ["# TYPE latency histogram"]
    for number, trace_id in enumerate(trace_ids):
        lines.append(
            f'latency_bucket{{le="{number + 1}.0"}} {number + 1} '
            f'# {{trace_id="{trace_id}",span_id="0102030405060708"}} {number}.5 1600096945.479'
        )
    count = len(trace_ids) + 1
    lines += [f'latency_bucket{{le="+Inf"}} {count}', f"latency_count {count}", "latency_sum 9.0"]
    lines += ["# TYPE orders counter", "orders_total 3.0", "# EOF", ""]
    return Page("\n".join(lines).encode(), content_type=OPENMETRICS)


def test_an_endpoint_is_scraped_in_openmetrics_and_what_stands_there_still_is_not_new() -> None:
    pages_in_turn = [openmetrics(TRACE), openmetrics(TRACE, "1" * 32), openmetrics("1" * 32)]

    async def scrape(fetcher: Fetcher) -> list[list[Exemplar]]:
        headers = {"Authorization": "Bearer s3cr3t"}
        endpoint = Endpoint(url=f"{pages.url}/metrics", trace_id_labels=LABELS, headers=headers)
        source = OpenMetricsSource(endpoint, fetcher)
        found = []
        for page in pages_in_turn:
            shown[:] = [page]
            exemplars, more = await source.ask()
            assert not more
            found.append(exemplars)
        return found

    shown: list[Page] = []
    with served(lambda _: shown[0]) as pages:
        found = fetching(scrape)

    time_ms = 1_600_096_945_479
    assert found == [
        [Exemplar(bytes.fromhex(TRACE), time_ms)],
        [Exemplar(b"\x11" * 16, time_ms)],
        [],
    ]
    assert pages.asked[0].headers["Accept"].startswith("application/openmetrics-text")
    assert pages.asked[0].headers["Authorization"] == "Bearer s3cr3t"


def test_quotes_in_an_exemplars_labels_hide_no_other() -> None:
    labels = f'path="/a\\"b\\\\",trace_id="{TRACE}"'
    sample = f'orders_total{{say="\\"hi\\" # {{"}} 3.0 # {{{labels}}} 1.0'
    text = f"# TYPE orders counter\n{sample}\n# EOF\n"
    page = Page(text.encode(), content_type=OPENMETRICS)

    async def scrape(fetcher: Fetcher) -> list[Exemplar]:
        return (await OpenMetricsSource(endpoint, fetcher).ask())[0]

    with served(lambda _: page) as pages:
        endpoint = Endpoint(url=pages.url, trace_id_labels=LABELS)
        assert fetching(scrape) == [Exemplar(bytes.fromhex(TRACE), None)]


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (Page(openmetrics(TRACE).body, content_type="text/plain"), "let it speak OpenMetrics"),
        (Page(openmetrics(TRACE).body[:-6], content_type=OPENMETRICS), "not OpenMetrics"),
        (Page(b'x_total 1 # {a="\xff"} 1\n# EOF\n', content_type=OPENMETRICS), "not OpenMetrics"),
        (Page(b"x y z # {\n# EOF\n", content_type=OPENMETRICS), "not OpenMetrics"),
        (Page(openmetrics("4" * 200).body, content_type=OPENMETRICS), "not OpenMetrics"),
    ],
)
def test_a_scrape_that_cannot_be_read_is_a_failure(page: Page, why: str) -> None:
    async def scrape(fetcher: Fetcher) -> None:
        endpoint = Endpoint(url=pages.url, trace_id_labels=LABELS)
        with pytest.raises(PollFailedError, match=why):
            await OpenMetricsSource(endpoint, fetcher).ask()

    with served(lambda _: page) as pages:
        fetching(scrape)


def test_no_server_at_all_is_a_failure() -> None:
    async def ask(fetcher: Fetcher) -> None:
        with pytest.raises(PollFailedError):
            await PrometheusSource(question(url), fetcher, Clock()).ask()

    with served(lambda _: prometheus_answer()) as pages:
        url = pages.url
    fetching(ask)


@dataclass
class Scripted:
    """A source that answers, or fails, by a script."""

    script: list[PollFailedError | tuple[list[Exemplar], bool]]
    name: str = "scrape"
    target: str = "http://shop/metrics"

    async def ask(self) -> tuple[list[Exemplar], bool]:
        step = self.script.pop(0)
        if isinstance(step, PollFailedError):
            raise step
        return step


@dataclass
class Polled:
    """A polling of a scripted source, and what it gave."""

    script: list[PollFailedError | tuple[list[Exemplar], bool]]
    given: list[tuple[list[Exemplar], str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = Metrics(declarations=EXEMPLARS_DECLARATIONS)
        pace = Pace(interval_s=15.0, sleep=asyncio.sleep, chance=lambda: 0.0)
        self.polling = Polling(Scripted(self.script), pace, self.give, self.metrics)

    async def give(self, exemplars: list[Exemplar], source: str) -> None:
        self.given.append((exemplars, source))

    def turns(self, count: int) -> list[float]:
        async def turns() -> list[float]:
            return [await self.polling.turn() for _ in range(count)]

        return asyncio.run(turns())

    def polls(self, outcome: str) -> int:
        labels = {"source": "scrape", "target": "http://shop/metrics", "outcome": outcome}
        registry = self.metrics.registry
        return int(registry.get_sample_value("tailstream_exemplars_polls_total", labels) or 0)


ONE = Exemplar(b"1" * 16, None)


def test_a_source_is_asked_at_its_interval_and_at_once_while_it_has_more() -> None:
    polled = Polled([([ONE], False), ([ONE], True), ([], False)])

    assert polled.turns(3) == [15.0, 0.0, 15.0]
    assert polled.given == [([ONE], "scrape"), ([ONE], "scrape"), ([], "scrape")]
    assert (polled.polls("answered"), polled.polls("failed")) == (3, 0)


def test_failures_are_counted_and_waited_out_ever_longer_until_there_is_an_answer() -> None:
    failure = PollFailedError("down")
    polled = Polled([failure, failure, failure, ([], False), failure])

    assert polled.turns(5) == [0.25, 0.5, 1.0, 15.0, 0.25]
    assert (polled.polls("answered"), polled.polls("failed")) == (1, 4)


def test_a_too_large_answer_counts_its_limit() -> None:
    polled = Polled([AnswerTooLargeError("too large")])
    polled.turns(1)
    labels = {"limit": "answer_bytes_max"}
    assert polled.metrics.registry.get_sample_value("tailstream_limit_reached_total", labels) == 1
