"""HTTP spans of the shop, over real sockets: what they say, and whose child each is."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from stream.demo.shop.http_spans import post, server_spans

HOST = "127.0.0.1"


class Spans:
    """A tracer, and what it recorded."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer("test")

    def of(self, kind: SpanKind) -> ReadableSpan:
        (found,) = [each for each in self._exporter.get_finished_spans() if each.kind is kind]
        return found


async def answered(request: web.Request) -> web.Response:
    return web.json_response(await request.json())


async def unavailable(_: web.Request) -> web.Response:
    return web.Response(status=503)


async def missing(_: web.Request) -> web.Response:
    raise web.HTTPNotFound


async def raising(_: web.Request) -> web.Response:
    raise LookupError("no such order")


async def told_baggage(_: web.Request) -> web.Response:
    return web.json_response(str(baggage.get_baggage("tenant")))


def run(
    spans: Spans, handler: Handler, call: Callable[[aiohttp.ClientSession, str], Awaitable[None]]
) -> int:
    """Call a server with one route, `/orders/{id}`; return its port."""

    async def calling() -> int:
        application = web.Application(middlewares=[server_spans(spans.tracer)])
        application.router.add_post("/orders/{id}", handler)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        port: int = runner.addresses[0][1]
        async with aiohttp.ClientSession() as session:
            await call(session, f"http://{HOST}:{port}/orders/7")
        await runner.cleanup()
        return port

    return asyncio.run(calling())


def posting(spans: Spans, status: int) -> Callable[[aiohttp.ClientSession, str], Awaitable[None]]:
    async def call(session: aiohttp.ClientSession, url: str) -> None:
        got, _ = await post(session, spans.tracer, url, {"number": 17})
        assert got == status

    return call


def test_a_call_and_its_answer_are_parent_and_child_over_the_wire() -> None:
    spans = Spans()
    run(spans, answered, posting(spans, 200))
    client, server = spans.of(SpanKind.CLIENT), spans.of(SpanKind.SERVER)
    assert server.parent is not None
    assert server.parent.is_remote
    assert client.context is not None
    assert server.parent.span_id == client.context.span_id
    assert server.context is not None
    assert server.context.trace_id == client.context.trace_id


def test_spans_say_what_the_stable_http_conventions_ask_for() -> None:
    spans = Spans()
    port = run(spans, answered, posting(spans, 200))
    client, server = spans.of(SpanKind.CLIENT), spans.of(SpanKind.SERVER)
    assert (client.name, server.name) == ("POST", "POST /orders/{id}")
    assert dict(client.attributes or {}) == {
        "http.request.method": "POST",
        "url.full": f"http://{HOST}:{port}/orders/7",
        "server.address": HOST,
        "server.port": port,
        "http.response.status_code": 200,
    }
    said = dict(server.attributes or {})
    assert said.pop("user_agent.original")
    (traceparent,) = said.pop("http.request.header.traceparent")  # type: ignore[misc]  # a list
    assert client.context is not None
    assert traceparent == f"00-{client.context.trace_id:032x}-{client.context.span_id:016x}-03"
    assert said == {
        "http.request.method": "POST",
        "http.route": "/orders/{id}",
        "url.scheme": "http",
        "url.path": "/orders/7",
        "network.protocol.version": "1.1",
        "server.address": HOST,
        "server.port": port,
        "http.response.status_code": 200,
    }
    assert {client.status.status_code, server.status.status_code} == {StatusCode.UNSET}


@pytest.mark.parametrize(
    ("handler", "status", "server_failed", "error_type"),
    [
        (unavailable, 503, True, "503"),
        (missing, 404, False, None),
        (raising, 500, True, "LookupError"),
    ],
)
def test_a_status_from_400_on_is_the_callers_error_from_500_on_the_servers_too(
    handler: Handler, status: int, *, server_failed: bool, error_type: str | None
) -> None:
    spans = Spans()
    run(spans, handler, posting(spans, status))
    client, server = spans.of(SpanKind.CLIENT), spans.of(SpanKind.SERVER)
    assert client.status.status_code is StatusCode.ERROR
    assert (client.attributes or {})["error.type"] == str(status)
    assert (server.status.status_code is StatusCode.ERROR) is server_failed
    assert (server.attributes or {}).get("error.type") == error_type
    assert (server.attributes or {})["http.response.status_code"] == status
    assert [each.name for each in server.events] == ["exception"] * (handler is raising)


def test_a_call_that_nobody_answers_is_an_error_of_its_span() -> None:
    spans = Spans()

    async def call(session: aiohttp.ClientSession, _: str) -> None:
        with pytest.raises(aiohttp.ClientConnectorError):
            await post(session, spans.tracer, f"http://{HOST}:1/", {})

    run(spans, answered, call)
    client = spans.of(SpanKind.CLIENT)
    assert client.status.status_code is StatusCode.ERROR
    assert (client.attributes or {})["error.type"] == "ClientConnectorError"


def test_baggage_comes_along() -> None:
    spans = Spans()

    async def call(session: aiohttp.ClientSession, url: str) -> None:
        async with session.post(url, headers={"baggage": "tenant=blue"}) as answer:
            assert await answer.json() == "blue"

    run(spans, told_baggage, call)


def test_after_a_request_nothing_of_its_context_is_left() -> None:
    spans = Spans()
    run(spans, answered, posting(spans, 200))
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_header_that_is_not_utf_8_does_no_harm() -> None:
    spans = Spans()

    async def call(_: aiohttp.ClientSession, url: str) -> None:
        reader, writer = await asyncio.open_connection(HOST, urlsplit(url).port)
        writer.write(
            b"POST /orders/7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n"
            b"User-Agent: \xff\xfe\r\ntraceparent: \xff\r\n\r\n1"
        )
        assert b" 200 " in (await reader.read()).splitlines()[0]
        writer.close()

    run(spans, answered, call)
    said = dict(spans.of(SpanKind.SERVER).attributes or {})
    assert str(said["user_agent.original"]).encode()
    assert str(said["http.request.header.traceparent"]).encode()
