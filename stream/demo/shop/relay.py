"""The protocol of W3C's trace context test harness: take a list of calls, make them, context along.

https://github.com/w3c/trace-context/tree/main/test. The harness POSTs `[{"url", "arguments"}]` with
the headers under test; the service POSTs each `arguments` to its `url`, and the harness looks at
the headers that arrive there.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from itertools import count
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition
from opentelemetry.trace import Tracer

from stream.demo.shop.http_spans import post
from stream.demo.shop.payment import BAD_GATEWAY, SESSION
from stream.demo.shop.tracing import Tracing
from stream.propagation import KafkaSpans
from stream.propagation.confluent import TracedProducer

BAD_REQUEST = 400
POLL_S = 0.05
CALL_TIMEOUT_S = 10.0


class Relay(Protocol):
    """How a call is made."""

    async def pass_on(self, session: aiohttp.ClientSession, url: str, arguments: Any) -> int:
        """POST the arguments with the current context; return the status of the answer."""
        ...

    def running(self, application: web.Application) -> AsyncIterator[None]:
        """Begin, yield once, and end: for `cleanup_ctx`."""
        ...


class Straight:
    """Over HTTP at once."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def pass_on(self, session: aiohttp.ClientSession, url: str, arguments: Any) -> int:
        """POST them."""
        status, _ = await post(session, self._tracer, url, arguments)
        return status

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Nothing to begin."""
        yield


class ThroughKafka:
    """By a message: the context goes into its headers, comes out of them, and then over HTTP.

    The span that processes a message is a child of the one that sent it, by the explicit option:
    with a link alone, the default, what comes after the queue is a trace of its own.
    """

    def __init__(self, tracing: Tracing, bootstrap: str, topic: str) -> None:
        self._tracer = tracing.tracer
        self._topic = topic
        self._spans = KafkaSpans(bootstrap_servers=bootstrap, tracer_provider=tracing.provider)
        kafka = {"bootstrap.servers": bootstrap}
        self._producer = TracedProducer(Producer({**kafka, "linger.ms": 0}), self._spans)
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": topic,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
            }
        )
        self._numbers = count()
        self._calls: dict[bytes, tuple[aiohttp.ClientSession, asyncio.Future[int]]] = {}
        self._made: set[asyncio.Task[None]] = set()
        self._open = True

    async def pass_on(self, session: aiohttp.ClientSession, url: str, arguments: Any) -> int:
        """Send the message; return once it has come, and the call was made."""
        number = str(next(self._numbers)).encode()
        answered = asyncio.get_running_loop().create_future()
        self._calls[number] = session, answered
        value = json.dumps({"url": url, "arguments": arguments}).encode()
        try:
            self._producer.produce(self._topic, value, key=number)
            return await asyncio.wait_for(answered, CALL_TIMEOUT_S)
        finally:
            del self._calls[number]

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Consume the messages, all of them: the topic is ours."""
        known = self._consumer.list_topics(self._topic, CALL_TIMEOUT_S)
        numbers = known.topics[self._topic].partitions
        self._consumer.assign([TopicPartition(self._topic, n, OFFSET_BEGINNING) for n in numbers])
        consuming = asyncio.create_task(self._consume())
        yield
        self._open = False
        await consuming
        self._producer.flush(CALL_TIMEOUT_S)
        self._producer.producer.close()
        self._consumer.close()

    async def _consume(self) -> None:
        while self._open:
            message = await asyncio.to_thread(self._consumer.poll, POLL_S)
            self._producer.poll(0)
            if message is not None and message.error() is None:
                making = asyncio.create_task(self._make_call(message))
                self._made.add(making)
                making.add_done_callback(self._made.discard)

    async def _make_call(self, message: Message) -> None:
        session, answered = self._calls[message.key()]
        call = json.loads(message.value())
        try:
            with self._spans.process(message, parent=True):
                status, _ = await post(session, self._tracer, call["url"], call["arguments"])
        except (aiohttp.ClientError, TimeoutError) as problem:
            if not answered.done():
                answered.set_exception(problem)
            return
        if not answered.done():
            answered.set_result(status)


def add_test_endpoint(application: web.Application, relay: Relay) -> None:
    """Answer `POST /test` with the calls' statuses; 400 for what is no list of calls."""

    async def test(request: web.Request) -> web.Response:
        calls = _calls(await request.text())
        if calls is None:
            told = 'write [{"url": "http://...", "arguments": [...]}, ...]'
            return web.json_response({"problem": told}, status=BAD_REQUEST)
        session = request.app[SESSION]
        try:
            statuses = [await relay.pass_on(session, url, rest) for url, rest in calls]
        except (aiohttp.ClientError, TimeoutError) as problem:
            return web.json_response({"problem": str(problem)}, status=BAD_GATEWAY)
        return web.json_response(statuses)

    application.cleanup_ctx.append(relay.running)
    application.router.add_post("/test", test)


def _calls(text: str) -> list[tuple[str, Any]] | None:
    try:
        told = json.loads(text)
    except ValueError:
        return None
    told = told if isinstance(told, list) else [told]
    if not all(isinstance(one, Mapping) and isinstance(one.get("url"), str) for one in told):
        return None
    return [(one["url"], one.get("arguments", [])) for one in told]
