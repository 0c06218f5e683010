"""An application on each of the Kafka clients, carrying context as its author would do it."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Message, Producer

from stream.propagation import (
    AnyHeaders,
    KafkaHeaders,
    KafkaSpans,
    aiokafka,
    confluent,
    inject_http,
)
from stream.propagation.headers import kafka_headers
from tests.harness.recorded import Recorded
from tests.harness.repository import ROOT

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Place:
    """A topic, and where the spans of those who use it are recorded."""

    bootstrap: str
    topic: str
    recorded: Recorded

    @property
    def spans(self) -> KafkaSpans:
        return KafkaSpans(
            bootstrap_servers=self.bootstrap,
            group="shipping",
            tracer_provider=self.recorded.provider,
        )


@dataclass(frozen=True)
class Order:
    """A message to send."""

    key: bytes
    value: bytes
    headers: AnyHeaders = None


def read(bootstrap: str, topic: str, count: int) -> list[Message]:
    """Return the topic's first messages, as they lie there."""
    consumer = _confluent_consumer(bootstrap)
    consumer.subscribe([topic])
    try:
        messages: list[Message] = []
        while len(messages) < count:
            some = consumer.consume(count - len(messages), TIMEOUT_S)
            assert some, f"{len(messages)} of {count} messages"
            messages += some
        return messages
    finally:
        consumer.close()


class Confluent:
    """confluent-kafka."""

    def send(self, place: Place, orders: Sequence[Order]) -> None:
        producer = confluent.TracedProducer(
            Producer({"bootstrap.servers": place.bootstrap}), place.spans
        )
        for order in orders:
            producer.produce(place.topic, order.value, order.key, headers=order.headers)
        assert producer.flush(TIMEOUT_S) == 0

    def process(self, place: Place, count: int, *, parent: bool) -> None:
        for message in read(place.bootstrap, place.topic, count):
            with place.spans.process(message, parent=parent):
                pass

    def process_batch(self, place: Place, count: int) -> None:
        consumer = _confluent_consumer(place.bootstrap)
        consumer.subscribe([place.topic])
        try:
            with place.spans.poll() as polled:
                messages = polled.got(consumer.consume(count, TIMEOUT_S))
            with place.spans.process_batch(messages):
                assert len(messages) == count
        finally:
            consumer.close()


class Aiokafka:
    """aiokafka."""

    def send(self, place: Place, orders: Sequence[Order]) -> None:
        async def send() -> None:
            async with AIOKafkaProducer(bootstrap_servers=place.bootstrap) as client:
                producer = aiokafka.TracedProducer(client, place.spans)
                for order in orders:
                    await producer.send_and_wait(
                        place.topic, order.value, order.key, headers=order.headers
                    )

        asyncio.run(send())

    def process(self, place: Place, count: int, *, parent: bool) -> None:
        async def process() -> None:
            async with _aiokafka_consumer(place.bootstrap, place.topic) as consumer:
                for _ in range(count):
                    record = await asyncio.wait_for(consumer.getone(), TIMEOUT_S)
                    with place.spans.process(record, parent=parent):
                        await asyncio.sleep(0)

        asyncio.run(process())

    def process_batch(self, place: Place, count: int) -> None:
        async def process() -> None:
            async with _aiokafka_consumer(place.bootstrap, place.topic) as consumer:
                left = count
                while left:
                    with place.spans.poll() as polled:
                        records = polled.got(await consumer.getmany(timeout_ms=1_000))
                    for batch in records.values():
                        with place.spans.process_batch(batch):
                            left -= len(batch)

        asyncio.run(asyncio.wait_for(process(), TIMEOUT_S))


class Faust:
    """Faust, on its own aiokafka transport."""

    def send(self, place: Place, orders: Sequence[Order]) -> None:
        told = [
            (order.key.decode(), order.value.decode(), _as_text(order.headers)) for order in orders
        ]
        _in_a_process(place, "send", orders=told)

    def process(self, place: Place, count: int, *, parent: bool) -> None:
        _in_a_process(place, "process", count=count, parent=parent)

    def process_batch(self, place: Place, count: int) -> None:
        _in_a_process(place, "process_batch", count=count)


Client = Confluent | Aiokafka | Faust


def headers_on_the_wire(message: Message) -> KafkaHeaders:
    """Return them, each as often as it stands there."""
    return list(message.headers() or ())


def _confluent_consumer(bootstrap: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": _group(),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )


def _aiokafka_consumer(bootstrap: str, topic: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=_group(),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )


def _in_a_process(place: Place, task: str, **with_: Any) -> None:
    work = {
        "bootstrap": place.bootstrap,
        "topic": place.topic,
        "context": inject_http(),
        "task": task,
        "with": with_,
    }
    command = [sys.executable, "-m", "tests.harness.faust_client"]
    ended = subprocess.run(
        command,
        input=json.dumps(work),
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * TIMEOUT_S,
        cwd=ROOT,
    )
    assert ended.returncode == 0, ended.stderr
    place.recorded.heard(json.loads(ended.stdout))


def _as_text(headers: AnyHeaders) -> list[tuple[str, str]]:
    return [(name, (value or b"").decode()) for name, value in kafka_headers(headers)]


def _group() -> str:
    return f"context_{uuid.uuid4().hex[:12]}"
