"""An application on each of the Kafka clients, carrying context as its author would do it."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Message, Producer

from stream.propagation import AnyHeaders, KafkaHeaders, KafkaSpans, aiokafka, confluent
from stream.propagation import faust as traced_faust

TIMEOUT_S = 60.0


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

    def send(self, bootstrap: str, topic: str, spans: KafkaSpans, orders: Sequence[Order]) -> None:
        producer = confluent.TracedProducer(Producer({"bootstrap.servers": bootstrap}), spans)
        for order in orders:
            producer.produce(topic, order.value, order.key, headers=order.headers)
        assert producer.flush(TIMEOUT_S) == 0

    def process(
        self, bootstrap: str, topic: str, spans: KafkaSpans, count: int, *, parent: bool
    ) -> None:
        for message in read(bootstrap, topic, count):
            with spans.process(message, parent=parent):
                pass

    def process_batch(self, bootstrap: str, topic: str, spans: KafkaSpans, count: int) -> None:
        consumer = _confluent_consumer(bootstrap)
        consumer.subscribe([topic])
        try:
            with spans.poll() as polled:
                messages = polled.got(consumer.consume(count, TIMEOUT_S))
            with spans.process_batch(messages):
                assert len(messages) == count
        finally:
            consumer.close()


class Aiokafka:
    """aiokafka."""

    def send(self, bootstrap: str, topic: str, spans: KafkaSpans, orders: Sequence[Order]) -> None:
        async def send() -> None:
            async with AIOKafkaProducer(bootstrap_servers=bootstrap) as client:
                producer = aiokafka.TracedProducer(client, spans)
                for order in orders:
                    await producer.send_and_wait(
                        topic, order.value, order.key, headers=order.headers
                    )

        asyncio.run(send())

    def process(
        self, bootstrap: str, topic: str, spans: KafkaSpans, count: int, *, parent: bool
    ) -> None:
        async def process() -> None:
            async with _aiokafka_consumer(bootstrap, topic) as consumer:
                for _ in range(count):
                    record = await asyncio.wait_for(consumer.getone(), TIMEOUT_S)
                    with spans.process(record, parent=parent):
                        await asyncio.sleep(0)

        asyncio.run(process())

    def process_batch(self, bootstrap: str, topic: str, spans: KafkaSpans, count: int) -> None:
        async def process() -> None:
            async with _aiokafka_consumer(bootstrap, topic) as consumer:
                left = count
                while left:
                    with spans.poll() as polled:
                        records = polled.got(await consumer.getmany(timeout_ms=1_000))
                    for batch in records.values():
                        with spans.process_batch(batch):
                            left -= len(batch)

        asyncio.run(asyncio.wait_for(process(), TIMEOUT_S))


class Faust:
    """Faust, on its own aiokafka transport."""

    def send(self, bootstrap: str, topic: str, spans: KafkaSpans, orders: Sequence[Order]) -> None:
        async def send() -> None:
            app = _faust_app(bootstrap)
            app.producer_only = True
            traced = traced_faust.TracedTopic(_raw(app, topic), spans)
            async with app:
                for order in orders:
                    sent = traced.send(key=order.key, value=order.value, headers=order.headers)
                    await asyncio.wait_for(await sent, TIMEOUT_S)

        asyncio.run(send())

    def process(
        self, bootstrap: str, topic: str, spans: KafkaSpans, count: int, *, parent: bool
    ) -> None:
        async def process() -> None:
            app = _faust_app(bootstrap)
            done = asyncio.Event()

            @app.agent(_raw(app, topic))  # type: ignore[misc] # faust is untyped
            async def agent(stream: Any) -> None:
                left = count
                async for event in stream.events():
                    with spans.process(event, parent=parent):
                        await asyncio.sleep(0)
                    left -= 1
                    if not left:
                        done.set()

            async with app:
                await asyncio.wait_for(done.wait(), TIMEOUT_S)

        asyncio.run(process())

    def process_batch(self, bootstrap: str, topic: str, spans: KafkaSpans, count: int) -> None:
        async def process() -> None:
            app = _faust_app(bootstrap)
            done = asyncio.Event()

            @app.agent(_raw(app, topic))  # type: ignore[misc] # faust is untyped
            async def agent(stream: Any) -> None:
                left = count
                async for batch in stream.take_events(count, within=1.0):
                    with spans.process_batch(batch):
                        left -= len(batch)
                    if not left:
                        done.set()

            async with app:
                await asyncio.wait_for(done.wait(), TIMEOUT_S)

        asyncio.run(process())


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


def _faust_app(bootstrap: str) -> Any:
    return faust.App(
        _group(),
        broker=f"aiokafka://{bootstrap}",
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )


def _raw(app: Any, topic: str) -> Any:
    return app.topic(topic, key_serializer="raw", value_serializer="raw")


def _group() -> str:
    return f"context_{uuid.uuid4().hex[:12]}"
