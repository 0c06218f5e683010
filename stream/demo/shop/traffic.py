"""The shop without an end: traffic for a pipeline that runs elsewhere.

Its services' spans go to the input topic. How long each checkout took goes to the metrics topic,
with the checkout's trace as exemplar, for `tailstream exemplars` to pin.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import aiohttp
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from stream.demo.shop.caller import ANSWER_TIMEOUT_S
from stream.demo.shop.fate import Fates
from stream.demo.shop.processes import ServiceProcess
from stream.demo.shop.run import PATHS, Shop
from stream.demo.shop.service import Service
from stream.demo.shop.serving import HOST
from stream.propagation.metric_exporter import KafkaMetricExporter

EXPORT_EVERY_MS: Final = 5_000
LOOK_EVERY_S: Final = 0.2
UNDER_WAY_MAX: Final = 1_000
"""Checkouts at once; above it customers are turned away, and counted."""

SPAN_NOT_TOLD: Final = 1
"""Stands for the gateway's span in an exemplar, which needs one: the answer names the trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What to send where: `per_s` checkouts a second, on topics that are there.

    `bootstrap` is a Kafka without a password: the shop's services take no more of an address.
    """

    bootstrap: str
    spans_topic: str
    metrics_topic: str
    checkouts_topic: str
    per_s: float
    fates: Fates = field(default_factory=Fates)


def run(
    traffic: Traffic,
    directory: Path,
    stopping: Callable[[], bool],
    tell: Callable[[Counter[str]], None],
) -> Counter[str]:
    """Run the services and send checkouts until `stopping()`; return how the checkouts ended.

    `tell` is called now and then with the counts so far; `directory` takes the services' logs.

    Raises:
        ServiceFailedError: a service did not start, or ended.
    """
    topics = {"input": traffic.spans_topic, "checkouts": traffic.checkouts_topic}
    shop = Shop(
        bootstrap=traffic.bootstrap,
        topics=topics,
        check_topics=False,
        requests=0,
        requests_per_s=traffic.per_s,
        fates=traffic.fates,
    )
    with ExitStack() as stack:
        services = [stack.enter_context(ServiceProcess(each, directory)) for each in shop.setups()]
        for service in services:
            service.wait_until_ready()
        duration = stack.enter_context(_measured(traffic))
        gateway = next(each.setup for each in services if each.setup.service is Service.GATEWAY)
        url = f"http://{HOST}:{gateway.port}{PATHS[Service.GATEWAY]}"

        def goes_on(counts: Counter[str]) -> bool:
            for service in services:
                service.check()
            tell(counts)
            return not stopping()

        counts = asyncio.run(_customers(url, traffic.per_s, duration, goes_on))
        for service in services:
            service.stop()
    return counts


@contextmanager
def _measured(traffic: Traffic) -> Iterator[Histogram]:
    """Give what customers measure with; at the end the last values are in Kafka."""
    exporter = KafkaMetricExporter(
        {"bootstrap.servers": traffic.bootstrap}, topic=traffic.metrics_topic
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=EXPORT_EVERY_MS)
    resource = Resource.create({"service.name": "customers", "service.namespace": "shop"})
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    try:
        yield provider.get_meter("stream.demo.shop").create_histogram(
            "shop.checkout.duration", unit="s", description="From a checkout to its answer."
        )
    finally:
        provider.shutdown()


async def _customers(
    url: str, per_s: float, duration: Histogram, goes_on: Callable[[Counter[str]], bool]
) -> Counter[str]:
    counts: Counter[str] = Counter()
    under_way: set[asyncio.Task[None]] = set()
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
    began_s = asyncio.get_running_loop().time()
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
        for number in count():
            if not await _due(began_s + number / per_s, lambda: goes_on(counts)):
                break
            if len(under_way) >= UNDER_WAY_MAX:
                counts["turned_away"] += 1
                continue
            task = group.create_task(_checkout(session, url, number, duration, counts))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
    return counts


async def _due(at_s: float, goes_on: Callable[[], bool]) -> bool:
    """Wait until the loop's clock says so; False where it does not go on until then."""
    loop = asyncio.get_running_loop()
    while goes_on():
        wait_s = at_s - loop.time()
        if wait_s <= 0:
            return True
        await asyncio.sleep(min(wait_s, LOOK_EVERY_S))
    return False


async def _checkout(
    session: aiohttp.ClientSession,
    url: str,
    number: int,
    duration: Histogram,
    counts: Counter[str],
) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        async with session.post(url, json={"number": number}) as answer:
            told = await answer.json()
    except (aiohttp.ClientError, TimeoutError):
        counts["not_answered"] += 1
        return
    counts["paid" if answer.ok else "refused"] += 1
    # The span is the gateway's and has ended; its name is enough for an exemplar.
    flags = TraceFlags(TraceFlags.SAMPLED if told["sampled"] else TraceFlags.DEFAULT)
    trace_id = int(told["trace_id"], 16)
    there = SpanContext(trace_id, SPAN_NOT_TOLD, is_remote=True, trace_flags=flags)
    context = set_span_in_context(NonRecordingSpan(there))
    attributes = {"http.response.status_code": answer.status}
    duration.record(loop.time() - began_s, attributes, context)
