"""The gateway against W3C Trace Context, levels 1 and 2, over a real socket and through Kafka.

The rules are those of https://www.w3.org/TR/trace-context-2/; the calls are made by the protocol of
W3C's own test harness.
"""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from stream.demo.shop.gateway import gateway
from stream.demo.shop.relay import Relay, Straight, ThroughKafka
from stream.demo.shop.service import Service, Setup
from stream.demo.shop.tracing import Tracing, provider_of, sampler_of, tracer_of
from stream.kafka.embedded import EmbeddedBroker

HOST = "127.0.0.1"
TIMEOUT_S = 30.0
TRACE, PARENT = "12345678901234567890123456789012", "1234567890123456"
VALID = f"00-{TRACE}-{PARENT}-01"
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[0-3])")

Headers = list[tuple[str, str]]


@dataclass
class Harness:
    """Makes requests of raw bytes to a gateway's /test, and sees what arrives at the other end."""

    loop: asyncio.AbstractEventLoop
    port: int
    callback_port: int
    arrived: list[tuple[Headers, Any]]

    def call(self, headers: Headers, count: int = 1) -> list[tuple[Headers, Any]]:
        """Send the headers as they are, spaces, case and repetitions included."""
        calls = [self._url(number) for number in range(count)]
        status, _ = self.post(headers, json.dumps(calls).encode())
        assert status == 200
        arrived, self.arrived[:] = list(self.arrived), []
        return arrived

    def context(self, *headers: tuple[str, str]) -> tuple[str, str, str, str]:
        """Return trace id, parent id, flags and tracestate of the one call that was made."""
        ((arrived, _),) = self.call(list(headers))
        (traceparent,) = [value for name, value in arrived if name.lower() == "traceparent"]
        match = TRACEPARENT.fullmatch(traceparent)
        assert match is not None, traceparent
        states = [value for name, value in arrived if name.lower() == "tracestate"]
        return match[1], match[2], match[3], ",".join(states)

    def post(self, headers: Headers, body: bytes) -> tuple[int, bytes]:
        posted = asyncio.run_coroutine_threadsafe(self._post(headers, body), self.loop)
        return posted.result(TIMEOUT_S)

    async def _post(self, headers: Headers, body: bytes) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(HOST, self.port)
        fixed = [("Host", f"{HOST}:{self.port}"), ("Content-Length", str(len(body)))]
        lines = [f"{name}: {value}" for name, value in [*fixed, ("Connection", "close"), *headers]]
        writer.write("\r\n".join(["POST /test HTTP/1.1", *lines, "", ""]).encode() + body)
        answer = await reader.read()
        writer.close()
        return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]

    def _url(self, number: int) -> dict[str, Any]:
        return {"url": f"http://{HOST}:{self.callback_port}/{number}", "arguments": [number]}


@pytest.fixture(scope="module", params=["straight", "through_kafka"])
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    setup = Setup(service=Service.GATEWAY, bootstrap="", spans_topic="", checkouts_topic="")
    provider = provider_of("gateway", sampler_of(setup))
    tracing = Tracing(tracer_of(provider), provider)
    with EmbeddedBroker() as broker:
        relay: Relay = Straight(tracing.tracer)
        if request.param == "through_kafka":
            broker.create_topic("calls")
            relay = ThroughKafka(tracing, broker.address, "calls")
        with Running(gateway(tracing, relay)) as made:
            yield made


class Running:
    """Runs the gateway, and the other end of its calls, on a loop of their own."""

    def __init__(self, application: web.Application) -> None:
        self.application = application
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.runners: list[web.AppRunner] = []
        self.arrived: list[tuple[Headers, Any]] = []

    def __enter__(self) -> Harness:
        self.thread.start()
        port, callback_port = self._do(self._start())
        return Harness(self.loop, port, callback_port, self.arrived)

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(TIMEOUT_S)
        self.loop.close()

    def _do(self, awaited: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaited, self.loop).result(TIMEOUT_S)

    async def _start(self) -> list[int]:
        other_end = web.Application()
        other_end.router.add_post("/{number}", self._take)
        for application in (self.application, other_end):
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, HOST, 0).start()
            self.runners.append(runner)
        return [runner.addresses[0][1] for runner in self.runners]

    async def _stop(self) -> None:
        for runner in self.runners:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.arrived.append((list(request.headers.items()), await request.json()))
        return web.json_response(None)


def test_without_a_header_a_trace_begins(harness: Harness) -> None:
    trace_id, parent_id, flags, state = harness.context()
    assert int(trace_id, 16)
    assert int(parent_id, 16)
    assert (flags, state) == ("03", "")


def test_each_call_has_the_trace_and_a_parent_of_its_own_and_its_arguments(
    harness: Harness,
) -> None:
    arrived = harness.call([("traceparent", VALID)], count=3)
    assert [arguments for _, arguments in arrived] == [[0], [1], [2]]
    parents = [dict(headers)["traceparent"] for headers, _ in arrived]
    assert {parent[:36] for parent in parents} == {f"00-{TRACE}-"}
    assert len({PARENT, *(parent[36:52] for parent in parents)}) == 4


@pytest.mark.parametrize(
    "value",
    [
        VALID,
        f" {VALID}",
        f"\t{VALID}",
        f"{VALID} ",
        f"{VALID}\t",
        f"\t {VALID} \t",
        f"cc-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like",
        f"01-{TRACE}-{PARENT}-01-",
    ],
)
def test_a_traceparent_that_w3c_allows_is_the_calls_trace(harness: Harness, value: str) -> None:
    trace_id, parent_id, _, _ = harness.context(("traceparent", value))
    assert trace_id == TRACE
    assert parent_id != PARENT


@pytest.mark.parametrize("name", ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"])
def test_the_case_of_a_header_s_name_does_not_matter(harness: Harness, name: str) -> None:
    assert harness.context((name, VALID))[0] == TRACE


@pytest.mark.parametrize(
    "headers",
    [
        [("trace-parent", VALID)],
        [("trace.parent", VALID)],
        [("traceparent", VALID), ("traceparent", f"00-{TRACE}-{PARENT}-00")],
        [("traceparent", VALID), ("TraceParent", VALID)],
        [("traceparent", f"{VALID}, {VALID}")],
        [("traceparent", "")],
        *(
            [("traceparent", value)]
            for value in (
                f"00-{TRACE}-{PARENT}-01.",
                f"00-{TRACE}-{PARENT}-01-what-the-future-will-be-like",
                f"cc-{TRACE}-{PARENT}-01.what-the-future-will-be-like",
                f"ff-{TRACE}-{PARENT}-01",
                f".0-{TRACE}-{PARENT}-01",
                f"0.-{TRACE}-{PARENT}-01",
                f"000-{TRACE}-{PARENT}-01",
                f"0-{TRACE}-{PARENT}-01",
                f"00-{'0' * 32}-{PARENT}-01",
                f"00-.{TRACE[1:]}-{PARENT}-01",
                f"00-{TRACE[:-1]}.-{PARENT}-01",
                f"00-{TRACE}3-{PARENT}-01",
                f"00-{TRACE[:-1]}-{PARENT}-01",
                f"00-{'A' * 32}-{PARENT}-01",
                f"00-{TRACE}-{'0' * 16}-01",
                f"00-{TRACE}-.{PARENT[1:]}-01",
                f"00-{TRACE}-{PARENT[:-1]}.-01",
                f"00-{TRACE}-{PARENT}7-01",
                f"00-{TRACE}-{PARENT[:-1]}-01",
                f"00-{TRACE}-{PARENT}-.0",
                f"00-{TRACE}-{PARENT}-0.",
                f"00-{TRACE}-{PARENT}-001",
                f"00-{TRACE}-{PARENT}-1",
                f"00-{TRACE}-{PARENT}",
            )
        ),
    ],
)
def test_what_is_no_traceparent_begins_a_trace_and_its_tracestate_goes(
    harness: Harness, headers: Headers
) -> None:
    trace_id, _, _, state = harness.context(*headers, ("tracestate", "foo=1"))
    assert TRACE[1:-1] not in trace_id
    assert int(trace_id, 16)
    assert state == ""


@pytest.mark.parametrize(
    ("came", "goes"),
    [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("fd", "01"), ("ff", "03")],
)
def test_flags_are_passed_on_and_those_of_a_future_level_are_zeroed(
    harness: Harness, came: str, goes: str
) -> None:
    assert harness.context(("traceparent", f"00-{TRACE}-{PARENT}-{came}"))[2] == goes


LETTERS = "".join(map(chr, range(0x61, 0x7B)))
KEY = f"{LETTERS}0123456789_-*/@"
VALUE = "".join(chr(each) for each in range(0x20, 0x7F) if chr(each) not in ",=")
MEMBERS = ",".join(f"k{number}=1" for number in range(32))


@pytest.mark.parametrize(
    ("values", "state"),
    [
        (["foo=1,bar=2"], "foo=1,bar=2"),
        (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        ([""], ""),
        (["foo=1", ""], "foo=1"),
        (["", "foo=1"], "foo=1"),
        (["foo=1,,bar=2,"], "foo=1,bar=2"),
        (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        ([" foo=1"], "foo=1"),
        (["\tfoo=1\t"], "foo=1"),
        (["foo=1,foo=1"], "foo=1,foo=1"),
        (["foo=1", "foo=2"], "foo=1,foo=2"),
        ([f"{KEY}={VALUE}"], f"{KEY}={VALUE}"),
        (["0foo=1"], "0foo=1"),
        (["foo@=1,bar=2"], "foo@=1,bar=2"),
        (["foo@@bar=1,bar=2"], "foo@@bar=1,bar=2"),
        ([f"{'z' * 256}=1"], f"{'z' * 256}=1"),
        ([f"{'t' * 242}@v=1"], f"{'t' * 242}@v=1"),
        ([f"foo={'v' * 256}"], f"foo={'v' * 256}"),
        ([MEMBERS], MEMBERS),
        (["foo= 1"], "foo= 1"),
    ],
)
def test_a_tracestate_that_w3c_allows_is_passed_on_in_its_order(
    harness: Harness, values: list[str], state: str
) -> None:
    headers = [("tracestate", value) for value in values]
    trace_id, _, _, passed_on = harness.context(("traceparent", VALID), *headers)
    assert (trace_id, passed_on) == (TRACE, state)


@pytest.mark.parametrize("name", ["TraceState", "TrAcEsTaTe", "TRACESTATE"])
def test_the_case_of_tracestate_s_name_does_not_matter(harness: Harness, name: str) -> None:
    assert harness.context(("traceparent", VALID), (name, "foo=1"))[3] == "foo=1"


@pytest.mark.parametrize(
    "value",
    [
        "foo =1",
        "FOO=1",
        "foo.bar=1",
        "@foo=1,bar=2",
        "_foo=1",
        f"{'z' * 257}=1",
        f"foo={'v' * 257}",
        "foo=,bar=3",
        "foo=bar=baz",
        "foo",
        f"{MEMBERS},one=more",
    ],
)
def test_what_is_no_tracestate_goes_and_the_trace_goes_on(harness: Harness, value: str) -> None:
    headers = (("traceparent", VALID), ("tracestate", f"{value}"))
    trace_id, _, _, state = harness.context(*headers)
    assert (trace_id, state) == (TRACE, "")


@pytest.mark.parametrize("name", ["trace-state", "trace.state"])
def test_another_header_is_no_tracestate(harness: Harness, name: str) -> None:
    assert harness.context(("traceparent", VALID), (name, "foo=1"))[3] == ""


@pytest.mark.parametrize("body", [b"no json", b"[1]", b'[{"arguments": []}]', b'[{"url": 1}]'])
def test_what_is_no_list_of_calls_is_refused(harness: Harness, body: bytes) -> None:
    status, said = harness.post([], body)
    assert status == 400
    assert b"url" in said


def test_a_call_that_nobody_answers_is_told(harness: Harness) -> None:
    calls = [{"url": f"http://{HOST}:1/", "arguments": []}]
    status, said = harness.post([], json.dumps(calls).encode())
    assert status == 502
    assert b"problem" in said
