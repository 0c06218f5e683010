"""An application on Faust, in a process of its own: an app's services do not survive their loop.

`python -m tests.harness.faust_client` takes its work as JSON from the standard input, and writes
its spans as JSON to the standard output.
"""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from opentelemetry import context as contexts

from stream.propagation import KafkaSpans, extract
from stream.propagation.faust import TracedTopic
from tests.harness.recorded import recorded_spans, told

TIMEOUT_S = 60.0


async def send(app: Any, topic: Any, spans: KafkaSpans, orders: list[Any]) -> None:
    app.producer_only = True
    traced = TracedTopic(topic, spans)
    await app.start()
    for key, value, headers in orders:
        pairs = [(name, text.encode()) for name, text in headers]
        await (await traced.send(key=key.encode(), value=value.encode(), headers=pairs))


async def process(app: Any, topic: Any, spans: KafkaSpans, count: int, *, parent: bool) -> None:
    done = asyncio.Event()

    @app.agent(topic)  # type: ignore[untyped-decorator] # faust is untyped
    async def agent(stream: Any) -> None:
        left = count
        async for event in stream.events():
            with spans.process(event, parent=parent):
                await asyncio.sleep(0)
            left -= 1
            if not left:
                done.set()

    await app.start()
    await done.wait()


async def process_batch(app: Any, topic: Any, spans: KafkaSpans, count: int) -> None:
    done = asyncio.Event()

    @app.agent(topic)  # type: ignore[untyped-decorator] # faust is untyped
    async def agent(stream: Any) -> None:
        left = count
        async for batch in stream.take_events(count, within=1.0):
            with spans.process_batch(batch):
                left -= len(batch)
            if not left:
                done.set()

    await app.start()
    await done.wait()


TASKS: dict[str, Callable[..., Awaitable[None]]] = {
    "send": send,
    "process": process,
    "process_batch": process_batch,
}


async def main(work: dict[str, Any]) -> None:
    app = faust.App(
        f"context_{uuid.uuid4().hex[:12]}",
        broker=f"aiokafka://{work['bootstrap']}",
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    topic = app.topic(work["topic"], key_serializer="raw", value_serializer="raw")
    contexts.attach(extract(work["context"]))
    with recorded_spans() as recorded:
        spans = KafkaSpans(group="shipping", tracer_provider=recorded.provider)
        await asyncio.wait_for(TASKS[work["task"]](app, topic, spans, **work["with"]), TIMEOUT_S)
        sys.stdout.write(json.dumps([told(span) for span in recorded.spans()]))
        sys.stdout.flush()
    # The app is not stopped: its group is nobody else's, and stopping takes seconds.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(json.load(sys.stdin)))
