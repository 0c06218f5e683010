"""A record's headers, read so that no producer can end the process with them; what they make it."""

from collections.abc import Sequence
from operator import methodcaller
from typing import Any

from stream.otlp.fragment import BadSpans, DeadLetterReason
from stream.sampling import control
from stream.sampling.control import CONTROL_HEADER
from stream.sampling.record import Headers, Record, RecordKind

SIGNAL_HEADER = "otelcol.signal"

_READ = methodcaller("headers")


def headers_of(message: Any) -> Sequence[tuple[str, bytes]]:
    """Return the message's headers; none where a name is not UTF-8: none of ours is like that.

    Kafka takes any bytes for a name. On such a one the client returns a list with a hole in it, and
    a UnicodeDecodeError set (c_headers_to_py in confluent-kafka 2.16.1). A call from C, as this is,
    looks for that and raises SystemError; the interpreter's own call, once it is warm, does not,
    and the hole ends the process. Asked again, the message returns the hole without an error: ask
    once.
    """
    try:
        headers: Sequence[tuple[str, bytes]] = _READ(message) or ()
    except (SystemError, UnicodeDecodeError):
        return ()
    return headers


def kind_of(headers: Headers, value: bytes | None) -> RecordKind:
    """Return what a record with these headers is."""
    for name, content in headers:
        if name == SIGNAL_HEADER and content != b"traces":
            return RecordKind.SKIPPED
        if name == CONTROL_HEADER and value in (b"", b"{}"):
            return RecordKind.CONTROL
    return RecordKind.SPANS


def read_control(record: Record, headers: Headers) -> None:
    """Put into a control record what it asks for; what cannot be read is a dead letter.

    It holds no span. What goes to the dead letters is the header, for the value says nothing.
    """
    content = next((content for name, content in headers if name == CONTROL_HEADER), b"")
    try:
        record.pin = control.decode(record.key, content)
    except ValueError:
        record.bad = [BadSpans(DeadLetterReason.MALFORMED_CONTROL, 0, content or b"")]
