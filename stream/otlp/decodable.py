"""Whether protobuf's own decoder takes what is delivered.

The scan skips attributes, events and links by their length. Whoever reads the output decodes them,
and refuses a whole record for one string that is not UTF-8, one length that lies, or one list in
lists a hundred deep: the good spans of the trace would be lost with the bad one.
"""

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from stream.otlp.frames import RESOURCE_SPANS, SCOPE_SPANS, Frame, render
from stream.otlp.wire import framed


def is_decodable(record: bytes) -> bool:
    """Return whether a `TracesData` message is one all the way down."""
    try:
        TracesData.FromString(record)
    except DecodeError:
        return False
    return True


class Undecodable:
    """Finds the spans of a record that keep it from being decoded; each envelope is tried once."""

    def __init__(self) -> None:
        self._envelopes: dict[Frame, bool] = {}

    def __call__(self, scope: Frame, field: bytes) -> bool:
        """Return whether this span, as a field of its scope, or that scope cannot be decoded."""
        sound = self._envelopes.get(scope)
        if sound is None:
            sound = self._envelopes[scope] = is_decodable(render([(scope, b"")]))
        return not sound or not is_decodable(framed(RESOURCE_SPANS, framed(SCOPE_SPANS, field)))
