"""Headers as the clients have them: pairs or mappings, names and values as text or bytes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from opentelemetry.propagators.textmap import Getter, Setter

KafkaHeaders = list[tuple[str, bytes | None]]
"""What confluent-kafka, aiokafka and Faust all take; a value may be null in Kafka."""

HeaderPairs = Iterable[tuple[str | bytes, Any]]
AnyHeaders = HeaderPairs | Mapping[str, Any] | None
"""Kafka's or HTTP's: none, pairs, a dict, a dict of lists, a multidict."""


class HeadersGetter(Getter[Any]):
    """Reads any headers: names without regard to case, a value for each time a name stands there.

    What is not text comes out as text that no header's grammar allows, so it is still counted as
    being there, and then ignored for what it is.
    """

    def get(self, carrier: AnyHeaders, key: str) -> list[str] | None:
        """Return the values of this name, in order; None where there are none."""
        wanted = key.lower()
        return [text_of(value) for name, value in pairs(carrier) if name.lower() == wanted] or None

    def keys(self, carrier: AnyHeaders) -> list[str]:
        """Return the names, as they stand there."""
        return [name for name, _ in pairs(carrier)]


ANY_HEADERS: Final = HeadersGetter()


class JoiningGetter(HeadersGetter):
    """Joins the values of one name with commas, which is what they mean (RFC 9110, 5.3)."""

    def get(self, carrier: AnyHeaders, key: str) -> list[str] | None:
        """Return one value, or None."""
        values = super().get(carrier, key)
        return None if values is None else [",".join(values)]


class AppendingSetter(Setter[KafkaHeaders]):
    """Appends to a list of Kafka headers, of which the old ones have been taken out before."""

    def set(self, carrier: KafkaHeaders, key: str, value: str) -> None:
        """Append the header, its name in lower case."""
        carrier.append((key.lower(), value.encode()))


def kafka_headers(headers: AnyHeaders) -> KafkaHeaders:
    """Return a list of the caller's headers, with values as bytes, as the producers take them."""
    return [(name, bytes_of(value)) for name, value in pairs(headers)]


def pairs(headers: AnyHeaders) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) in order; a list as a value is a header that stands there repeatedly."""
    several = headers.items() if isinstance(headers, Mapping) else headers or ()
    for name, value in several:
        if isinstance(value, list | tuple):
            yield from ((text_of(name), one) for one in value)
        else:
            yield text_of(name), value


def text_of(value: Any) -> str:
    """Return the value as text, with U+FFFD for what is not UTF-8; HTTP servers hand out those."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="replace")
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return text if text.isascii() else text.encode(errors="surrogatepass").decode(errors="replace")


def bytes_of(value: Any) -> bytes | None:
    """Return the value as bytes: what is text in UTF-8; None is Kafka's null."""
    if value is None:
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return str(value).encode(errors="surrogatepass")
