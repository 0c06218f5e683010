"""A message as each client hands it over, made one shape: what a span says of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, Final

from stream.propagation.headers import AnyHeaders

Message = Any
"""A confluent_kafka.Message, an aiokafka.ConsumerRecord, a faust.Event, or a Received."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came. `key` as the client gives it; `tombstone`: its value is null."""

    topic: str
    partition: int
    offset: int
    key: Any = None
    tombstone: bool = False
    headers: AnyHeaders = None


_HEADERS: Final = methodcaller("headers")


def received(message: Message) -> Received:
    """Return what spans need of a message of any of the clients.

    Of a Faust event the message as it came: the event's own headers are a dict, which hides that
    one stood there twice, and its key is whatever the application's codec made of it.
    """
    if isinstance(message, Received):
        return message
    if hasattr(message, "message"):
        message = message.message
    if callable(message.topic):
        return Received(
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
            key=message.key(),
            tombstone=message.value() is None,
            headers=confluent_headers(message),
        )
    return Received(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        tombstone=message.value is None,
        headers=message.headers,
    )


def received_all(messages: Iterable[Message]) -> list[Received]:
    """Return the messages of a batch, without those by which confluent-kafka tells of an error."""
    return [received(one) for one in messages if not _is_error(one)]


def confluent_headers(message: Any) -> Sequence[tuple[str, bytes | None]]:
    """Return a confluent-kafka message's headers; none where a name is not UTF-8.

    Any bytes are a name in Kafka. On such a one the client returns a list with a hole in it, which
    can end the process, unless it is called from C, as this is: `headers_of` in
    stream/kafka/headers.py tells it all.
    """
    try:
        headers: Sequence[tuple[str, bytes | None]] = _HEADERS(message) or ()
    except (SystemError, UnicodeDecodeError):
        return ()
    return headers


def _is_error(message: Message) -> bool:
    error = getattr(message, "error", None)
    return callable(error) and error() is not None
