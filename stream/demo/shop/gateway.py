"""The gateway: where checkouts come in, traces begin, and messages go out to Kafka."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web
from confluent_kafka import Producer
from opentelemetry.trace import format_trace_id, get_current_span

from stream.demo.shop.http_spans import post, server_spans
from stream.demo.shop.payment import BAD_GATEWAY, OK, SESSION, client_session
from stream.demo.shop.relay import Relay, Straight, add_test_endpoint
from stream.demo.shop.tracing import Tracing
from stream.propagation import KafkaSpans
from stream.propagation.confluent import TracedProducer

REPORTS_EVERY_S = 0.02
FLUSH_S = 20.0


def gateway(tracing: Tracing, relay: Relay | None = None) -> web.Application:
    """Return the application with `POST /test` alone: the protocol of W3C's test harness."""
    application = web.Application(middlewares=[server_spans(tracing.tracer)])
    application.cleanup_ctx.append(client_session)
    add_test_endpoint(application, relay or Straight(tracing.tracer))
    return application


def shop_gateway(
    tracing: Tracing, *, payment_url: str, bootstrap: str, topic: str
) -> web.Application:
    """Return it with `POST /checkout`, too: a `{"number": 17}` is paid, then told on the topic.

    The answer says which trace it was, and whether it was sampled.
    """
    client = {"bootstrap.servers": bootstrap, "client.id": "gateway", "linger.ms": 5}
    spans = KafkaSpans(
        bootstrap_servers=bootstrap, client_id="gateway", tracer_provider=tracing.provider
    )
    producer = TracedProducer(Producer(client), spans)

    async def checkout(request: web.Request) -> web.Response:
        order = await request.json()
        here = get_current_span().get_span_context()
        answer = {
            "trace_id": format_trace_id(here.trace_id),
            "sampled": here.trace_flags.sampled,
        }
        status, _ = await post(request.app[SESSION], tracing.tracer, payment_url, order)
        if status != OK:
            return web.json_response(answer, status=BAD_GATEWAY)
        producer.produce(topic, json.dumps(order).encode(), key=str(order["number"]))
        return web.json_response(answer)

    async def delivery_reports(_: web.Application) -> AsyncIterator[None]:
        # They end the spans of what was sent.
        polling = asyncio.create_task(_polled(producer))
        yield
        polling.cancel()
        with suppress(asyncio.CancelledError):
            await polling
        producer.flush(FLUSH_S)
        producer.producer.close()

    application = gateway(tracing)
    application.cleanup_ctx.append(delivery_reports)
    application.router.add_post("/checkout", checkout)
    return application


async def _polled(producer: TracedProducer) -> None:
    while True:
        producer.poll(0)
        await asyncio.sleep(REPORTS_EVERY_S)
