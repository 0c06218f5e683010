"""Spans of the SDK as OTLP bytes, with all that OTLP asks for.

The library's encoder (opentelemetry-exporter-otlp-proto-common) leaves out what W3C's trace flags
say, of a span and of what it links to, and a link's tracestate. And it fails a whole batch for one
text that is no Unicode, as a file's name may be in an exception's message.
"""

import copy
from collections.abc import Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Status

from stream.propagation.headers import text_of

TRACE_FLAGS: Final = SpanFlags.SPAN_FLAGS_TRACE_FLAGS_MASK
"""W3C's part of OTLP's flags; beside it the encoder says whether a context came from elsewhere."""


def encoded_spans(spans: Sequence[ReadableSpan]) -> bytes:
    """Return the spans as OTLP `TracesData`, protobuf.

    What is no Unicode in a span's name or its status is U+FFFD there.

    Raises:
        Exception: whatever the encoder raises for a span that protobuf cannot hold.
    """
    try:
        request = encode_spans(spans)
    except UnicodeEncodeError:
        request = encode_spans([_as_unicode(span) for span in spans])
    _complete(request, spans)
    # ExportTraceServiceRequest is TracesData under another name: the same field, the same number.
    return request.SerializeToString()


def _complete(request: ExportTraceServiceRequest, spans: Sequence[ReadableSpan]) -> None:
    # The encoder orders them by their scopes.
    by_id = {span.context.span_id: span for span in spans}
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for encoded in scope.spans:
                _complete_span(encoded, by_id[int.from_bytes(encoded.span_id, "big")])


def _complete_span(encoded: Span, span: ReadableSpan) -> None:
    encoded.flags |= span.context.trace_flags & TRACE_FLAGS
    for link, linked in zip(encoded.links, span.links, strict=True):
        link.flags |= linked.context.trace_flags & TRACE_FLAGS
        link.trace_state = linked.context.trace_state.to_header()


def _as_unicode(span: ReadableSpan) -> ReadableSpan:
    # A span that has ended has no setters, and made anew it would forget how much it had dropped.
    clean = copy.copy(span)
    clean._name = text_of(span.name)  # noqa: SLF001 - as above
    if span.status.description:
        clean._status = Status(span.status.status_code, text_of(span.status.description))  # noqa: SLF001 - as above
    return clean
