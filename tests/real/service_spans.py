"""The spans of records on a topic, by trace, each with its service: read with the OTLP library."""

from collections.abc import Iterable
from dataclasses import dataclass

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.harness.oracle import decode
from tests.harness.reading import Stored


@dataclass(frozen=True, slots=True)
class ServiceSpan:
    """A span, and the service that made it."""

    service: str
    span: Span

    @property
    def ids(self) -> tuple[str, str]:
        """Its own id and its parent's ("": it has none), in hex."""
        return self.span.span_id.hex(), self.span.parent_span_id.hex()


def by_trace(records: Iterable[Stored]) -> dict[str, list[ServiceSpan]]:
    """Return the spans of each trace, by its id in hex."""
    found: dict[str, list[ServiceSpan]] = {}
    for record in records:
        for resource_spans in decode(record.value).resource_spans:
            attributes = resource_spans.resource.attributes
            names = [each.value.string_value for each in attributes if each.key == "service.name"]
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    spans = found.setdefault(span.trace_id.hex(), [])
                    spans.append(ServiceSpan("".join(names), span))
    return found
