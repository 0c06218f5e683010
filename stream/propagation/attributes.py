"""What a Kafka span says, by OpenTelemetry's messaging conventions as of version 1.44.

https://opentelemetry.io/docs/specs/semconv/messaging/kafka/. None of the attributes that older
instrumentations set (`messaging.operation`, `messaging.kafka.partition`): those are deprecated.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes import error_attributes, server_attributes
from opentelemetry.trace import Link, Span, Status, StatusCode

from stream.propagation.carry import creation_context_of
from stream.propagation.headers import ANY_HEADERS
from stream.propagation.received import Received

Attributes = dict[str, str | int | bool]
One = TypeVar("One")

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

SEND: Final = messaging.MessagingOperationTypeValues.SEND.value
RECEIVE: Final = messaging.MessagingOperationTypeValues.RECEIVE.value
PROCESS: Final = messaging.MessagingOperationTypeValues.PROCESS.value
POLL: Final = "poll"
"""Kafka's own name for the operation whose type is receive."""


def operation(type_: str, name: str, topic: str | None) -> Attributes:
    """Return what every span of this operation says; `topic` None if it is several."""
    attributes: Attributes = {
        messaging.MESSAGING_SYSTEM: messaging.MessagingSystemValues.KAFKA.value,
        messaging.MESSAGING_OPERATION_TYPE: type_,
        messaging.MESSAGING_OPERATION_NAME: name,
    }
    if topic is not None:
        attributes[messaging.MESSAGING_DESTINATION_NAME] = topic
    return attributes


def client(
    client_id: str | None, group: str | None, bootstrap_servers: str | None
) -> tuple[Attributes, Attributes]:
    """Return what a client's producing spans say, and its consuming ones.

    The broker only where one is named: of several nobody knows here which one answered. It may be
    written as a URL, as in Faust.
    """
    attributes: Attributes = {}
    if client_id:
        attributes[messaging.MESSAGING_CLIENT_ID] = client_id
    if bootstrap_servers and "," not in bootstrap_servers:
        address, colon, port = bootstrap_servers.rpartition("://")[2].rpartition(":")
        attributes[server_attributes.SERVER_ADDRESS] = (address or port).strip("[] ")
        if colon and port.isdigit():
            attributes[server_attributes.SERVER_PORT] = int(port)
    if not group:
        return attributes, attributes
    return attributes, attributes | {messaging.MESSAGING_CONSUMER_GROUP_NAME: group}


def destination(partition: int | None, offset: int | None = None) -> Attributes:
    """Return where a message lies, as far as it is known."""
    attributes: Attributes = {}
    if partition is not None and partition >= 0:
        attributes[messaging.MESSAGING_DESTINATION_PARTITION_ID] = str(partition)
    if offset is not None and offset >= 0:
        attributes[messaging.MESSAGING_KAFKA_OFFSET] = offset
    return attributes


def content(key: Any, *, tombstone: bool) -> Attributes:
    """Return what a message's key and value say: a key that is text, a value that is null."""
    attributes: Attributes = {}
    if (text := key_text(key)) is not None:
        attributes[messaging.MESSAGING_KAFKA_MESSAGE_KEY] = text
    if tombstone:
        attributes[messaging.MESSAGING_KAFKA_MESSAGE_TOMBSTONE] = True
    return attributes


def of_message(message: Received, id_header: str | None) -> Attributes:
    """Return what one message's span says of it, or its link in the span of a batch."""
    attributes = destination(message.partition, message.offset)
    attributes |= content(message.key, tombstone=message.tombstone)
    ids = ANY_HEADERS.get(message.headers, id_header) if id_header else None
    if ids:
        attributes[messaging.MESSAGING_MESSAGE_ID] = ids[0]
    return attributes


def of_batch(messages: Sequence[Received]) -> Attributes:
    """Return what a batch's span says: how many, and the partition if they share it."""
    attributes = destination(the_one({message.partition for message in messages}))
    return attributes | {messaging.MESSAGING_BATCH_MESSAGE_COUNT: len(messages)}


def links_of_batch(messages: Sequence[Received], id_header: str | None) -> list[Link]:
    """Return a link to each message's creation context, with what is the message's own.

    Partition and offset always, for one says nothing without the other; the topic if it varies. A
    message without a context gets none: a link to nothing says nothing.
    """
    several = len({message.topic for message in messages}) > 1
    links = []
    for message in messages:
        if created := creation_context_of(message.headers):
            attributes = of_message(message, id_header)
            if several:
                attributes[messaging.MESSAGING_DESTINATION_NAME] = message.topic
            links.append(Link(created, attributes))
    return links


def key_text(key: Any) -> str | None:
    """Return a key's one string form, None if it is null or has none."""
    if isinstance(key, bytes | bytearray | memoryview):
        try:
            key = bytes(key).decode()
        except UnicodeDecodeError:
            return None
    return key if isinstance(key, str) and key.isprintable() else None


def the_one(values: set[One]) -> One | None:
    """Return the only value there is, None if there are several."""
    return next(iter(values)) if len(values) == 1 else None


def mark_failed(span: Span, error_type: str, description: str) -> None:
    """Say on the span that it failed: a low-cardinality name, and what happened in words."""
    span.set_attribute(error_attributes.ERROR_TYPE, error_type)
    span.set_status(Status(StatusCode.ERROR, description))


def mark_raised(span: Span, error: BaseException) -> None:
    """Say on the span that this exception ended it."""
    kind = type(error)
    name = kind.__qualname__
    span.record_exception(error)
    mark_failed(
        span,
        name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}",
        f"{kind.__name__}: {error}",
    )
