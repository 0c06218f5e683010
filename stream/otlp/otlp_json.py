"""OTLP/JSON to OTLP protobuf.

The rules: https://github.com/open-telemetry/opentelemetry-proto/blob/main/docs/specification.md,
"JSON Protobuf Encoding". They are protobuf's JSON mapping, but ids are hexadecimal, not base64,
enums are integers, keys are lowerCamelCase only, and unknown fields are ignored.
"""

import json
import re
from base64 import b64encode
from binascii import unhexlify
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from stream.otlp.wire import Malformed, TooLarge

DEPTH_MAX: Final = 100
OBJECTS_MAX: Final = 1_000_000
"""An empty object takes three bytes of a record, hundreds in our memory. A span has some 25."""

_SPAN_IDS: Final = ("traceId", "spanId", "parentSpanId")
_LINK_IDS: Final = ("traceId", "spanId")
# Both alphabets, padded or not: https://protobuf.dev/programming-guides/json/
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")


def to_protobuf(value: bytes) -> bytes:
    """Return OTLP/JSON `TracesData` as protobuf.

    Raises:
        Malformed: whatever is wrong with it; TooLarge if it can have above `OBJECTS_MAX` objects.
    """
    if value.count(b"{") > OBJECTS_MAX:
        raise TooLarge(f"more than {OBJECTS_MAX} objects")
    try:
        document = json.loads(
            value.decode(), object_pairs_hook=_known_keys, parse_constant=_no_constant
        )
        for span in _each(_each(_each([document], "resourceSpans"), "scopeSpans"), "spans"):
            _ids_to_base64(span, _SPAN_IDS)
            for link in _each([span], "links"):
                _ids_to_base64(link, _LINK_IDS)
        message = TracesData()
        json_format.ParseDict(
            document, message, ignore_unknown_fields=True, max_recursion_depth=DEPTH_MAX
        )
        return bytes(message.SerializeToString())
    except (json_format.Error, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Malformed(f"not OTLP/JSON: {error}") from error


def is_empty_object(value: bytes) -> bool:
    """Return whether the record is `{}`: what JSON topics have for an empty record."""
    return b"".join(value[:64].split()) == b"{}"


def _known_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keep what can be a lowerCamelCase name: OTLP ignores what json_format would also read.

    Such are names in snake_case and `[extension]` names. Raises Malformed for bytes that are not
    base64, of which json_format would drop what it cannot read.
    """
    known = {key: value for key, value in pairs if key.isalnum()}
    text = known.get("bytesValue")
    if isinstance(text, str) and not _BASE64.fullmatch(text):
        raise Malformed("a bytesValue is not base64")
    return known


def _no_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not JSON")


def _each(parents: Any, key: str) -> Iterator[dict[str, Any]]:
    """Yield the objects listed under `key` of each parent; null is an absent list."""
    for parent in parents:
        yield from parent.get(key) or ()


def _ids_to_base64(holder: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        text = holder.get(key)
        if text is not None:
            # unhexlify takes either case and, unlike bytes.fromhex, no blanks.
            holder[key] = b64encode(unhexlify(text)).decode()
