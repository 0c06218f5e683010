"""Faust with trace context: a topic whose messages say which span made them."""

import asyncio
from typing import Any

from faust.types import TopicT

from stream.propagation.futures import end_with
from stream.propagation.headers import AnyHeaders
from stream.propagation.spans import KafkaSpans


class TracedTopic:
    """A Faust topic that makes a span `send TOPIC` of every message sent to it.

    The span ends when the broker has answered. Agents read from the `topic` itself.
    """

    def __init__(self, topic: TopicT, spans: KafkaSpans) -> None:
        self.topic = topic
        self._spans = spans

    async def send(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        headers: AnyHeaders = None,
        **options: Any,
    ) -> "asyncio.Future[Any]":
        """Send a message, as Topic.send does with the same arguments; return the delivery.

        `headers` are not changed. An event's own headers are Faust's dict of them: sent on with
        them (`headers=event.headers`), the message keeps its creation context.
        """
        sending = self._spans.start_send(
            self.topic.get_topic_name(),
            headers=headers,
            key=key,
            partition=partition,
            tombstone=value is None,
        )
        try:
            future: asyncio.Future[Any] = await self.topic.send(
                key=key, value=value, partition=partition, headers=sending.headers, **options
            )
        except BaseException as error:
            sending.raised(error)
            raise
        end_with(future, sending)
        return future
