"""aiokafka with trace context: a producer whose messages say which span made them."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer

from stream.propagation.futures import end_with
from stream.propagation.headers import AnyHeaders
from stream.propagation.spans import KafkaSpans


class TracedProducer:
    """An AIOKafkaProducer that makes a span `send TOPIC` of every message.

    The span ends when the broker has answered. All else that a producer does is done with
    `producer` itself.
    """

    def __init__(self, producer: AIOKafkaProducer, spans: KafkaSpans) -> None:
        self.producer = producer
        self._spans = spans

    async def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: AnyHeaders = None,
    ) -> "asyncio.Future[Any]":
        """Send a message, as AIOKafkaProducer.send does, with the context in its headers.

        `headers` are not changed. Raises what send raises, which the span then says.
        """
        sending = self._spans.start_send(
            topic, headers=headers, key=key, partition=partition, tombstone=value is None
        )
        try:
            future: asyncio.Future[Any] = await self.producer.send(
                topic,
                value=value,
                key=key,
                partition=partition,
                timestamp_ms=timestamp_ms,
                headers=sending.headers,
            )
        except BaseException as error:
            sending.raised(error)
            raise
        end_with(future, sending)
        return future

    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: AnyHeaders = None,
    ) -> Any:
        """Send a message and wait for the broker's answer, a RecordMetadata."""
        return await (await self.send(topic, value, key, partition, timestamp_ms, headers))
