"""Spans for what an application does with Kafka: send, poll, process."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, TracerProvider

from stream.clock import now_ms
from stream.propagation import attributes as said
from stream.propagation.carry import creation_context_of, extract, extract_baggage, inject
from stream.propagation.headers import AnyHeaders, kafka_headers
from stream.propagation.polled import Polled
from stream.propagation.received import Message, received, received_all
from stream.propagation.sending import Sending

SCOPE: Final = "stream.propagation"
NANOSECONDS_A_MS: Final = 1_000_000


class KafkaSpans:
    """Makes the spans of one Kafka client, by the current messaging conventions.

    What a consumer does is linked to the span that made the message, and is not its child: it may
    run much later, several times, or for many messages at once.

    Args:
        bootstrap_servers: `host:port`; on the spans where it names a single broker.
        client_id: The client's `client.id`.
        group: The consumer group; on the spans of poll and process.
        message_id_header: The header that holds a message's id, `ce_id` for CloudEvents. Kafka
            itself has no such id.
        tracer_provider: Default: OpenTelemetry's global one, also if it is set later.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str | None = None,
        client_id: str | None = None,
        group: str | None = None,
        message_id_header: str | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(
            SCOPE, tracer_provider=tracer_provider, schema_url=said.SCHEMA_URL
        )
        self._producing, self._consuming = said.client(client_id, group, bootstrap_servers)
        self._id_header = message_id_header

    def start_send(
        self,
        topic: str,
        *,
        headers: AnyHeaders = None,
        key: Any = None,
        partition: int | None = None,
        tombstone: bool = False,
        context: Context | None = None,
    ) -> Sending:
        """Start the span `send TOPIC`; send `Sending.headers`, then say how it went.

        It is the message's creation context, and its headers say so. A message whose headers name
        one already, for it is sent on or again, keeps it: the span links to it. For a client that
        reports the delivery later; the adapters of this package do this for you.
        """
        created = creation_context_of(headers)
        span = self._tracer.start_span(
            f"{said.SEND} {topic}",
            context,
            SpanKind.CLIENT if created else SpanKind.PRODUCER,
            self._producing
            | said.operation(said.SEND, said.SEND, topic)
            | said.destination(partition)
            | said.content(key, tombstone=tombstone),
            [Link(created)] if created else [],
        )
        sending = trace.set_span_in_context(span, context)
        carried = kafka_headers(headers) if created else inject(headers, sending)
        return Sending(span, sending, carried)

    @contextmanager
    def send(
        self,
        topic: str,
        *,
        headers: AnyHeaders = None,
        key: Any = None,
        partition: int | None = None,
        tombstone: bool = False,
        context: Context | None = None,
    ) -> Iterator[Sending]:
        """Run the block in a span `send TOPIC` that ends with it. As `start_send` otherwise."""
        sending = self.start_send(
            topic,
            headers=headers,
            key=key,
            partition=partition,
            tombstone=tombstone,
            context=context,
        )
        with _current(sending.span, sending.context):
            yield sending

    @contextmanager
    def process(
        self, message: Message, *, parent: bool = False, context: Context | None = None
    ) -> Iterator[Span]:
        """Run the block in a span `process TOPIC` for one message; its baggage is in force there.

        The span links to the message's creation context, and is a child of `context` (default: the
        current one). With `parent` it is the other way round: a child of the creation context,
        linked to the context it runs in. A message without a context gets a span without a link.

        An exception passes through; the span says so.
        """
        one = received(message)
        ambient = contexts.get_current() if context is None else context
        created = creation_context_of(one.headers)
        if parent and created:
            inner = extract(one.headers, ambient)
            linked = trace.get_current_span(ambient).get_span_context()
        else:
            inner = extract_baggage(one.headers, ambient)
            linked = created or trace.INVALID_SPAN_CONTEXT
        span = self._tracer.start_span(
            f"{said.PROCESS} {one.topic}",
            inner,
            SpanKind.CONSUMER,
            self._consuming
            | said.operation(said.PROCESS, said.PROCESS, one.topic)
            | said.of_message(one, self._id_header),
            [Link(linked)] if linked.is_valid else [],
        )
        with _current(span, inner):
            yield span

    @contextmanager
    def process_batch(
        self, messages: Iterable[Message], *, context: Context | None = None
    ) -> Iterator[Span]:
        """Run the block in one span `process TOPIC` for all these messages.

        It has a link for every message that carries a context, with the message's key, partition
        and offset on the link. No messages, no span. Baggage is not taken over: it would be some
        one message's. The SDK keeps 128 links a span, unless its setting
        OTEL_SPAN_LINK_COUNT_LIMIT says otherwise: take batches no larger.
        """
        batch = received_all(messages)
        if not batch:
            yield INVALID_SPAN
            return
        topic = said.the_one({message.topic for message in batch})
        span = self._tracer.start_span(
            said.PROCESS if topic is None else f"{said.PROCESS} {topic}",
            context,
            SpanKind.CONSUMER,
            self._consuming
            | said.operation(said.PROCESS, said.PROCESS, topic)
            | said.of_batch(batch),
            said.links_of_batch(batch, self._id_header),
        )
        with _current(span, context):
            yield span

    @contextmanager
    def poll(self, topic: str | None = None, *, links: bool = False) -> Iterator[Polled]:
        """Record the block as a span `poll TOPIC`, of what it tells `Polled.got`.

        By option with links to the messages' creation contexts, as their process spans have them
        anyway. The span is not current in the block: it starts when the messages are known. A poll
        that got nothing leaves no span, unless it failed.
        """
        polled = Polled()
        start_ms = now_ms()
        try:
            yield polled
        except Exception as error:
            span = self._poll_span(polled, topic, start_ms, links=links)
            said.mark_raised(span, error)
            span.end()
            raise
        if polled.messages:
            self._poll_span(polled, topic, start_ms, links=links).end()

    def _poll_span(self, polled: Polled, topic: str | None, start_ms: int, *, links: bool) -> Span:
        batch = polled.messages
        topic = said.the_one({message.topic for message in batch}) if batch else topic
        attributes = said.operation(said.RECEIVE, said.POLL, topic)
        if polled.batch:
            attributes |= said.of_batch(batch)
        elif batch:
            attributes |= said.of_message(batch[0], self._id_header)
        return self._tracer.start_span(
            said.POLL if topic is None else f"{said.POLL} {topic}",
            kind=SpanKind.CLIENT,
            attributes=self._consuming | attributes,
            links=said.links_of_batch(batch, self._id_header) if links else [],
            start_time=start_ms * NANOSECONDS_A_MS,
        )


@contextmanager
def _current(span: Span, context: Context | None) -> Iterator[None]:
    """Run the block with the span current in `context`, then end it; an exception is its error."""
    token = contexts.attach(trace.set_span_in_context(span, context))
    try:
        yield
    except Exception as error:
        said.mark_raised(span, error)
        raise
    finally:
        contexts.detach(token)
        span.end()
