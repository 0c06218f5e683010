"""One checkout, hop by hop: the headers on the wire, and what each service made of them."""

from collections.abc import Iterator, Sequence

from stream.demo.shop.evidence import Evidence, Told
from stream.demo.shop.findings import threshold_of
from stream.demo.shop.samplers import randomness
from stream.demo.shop.seen import Kind, Seen
from stream.demo.shop.service import CONSUMERS, HTTP_PATH, Service
from stream.otlp.tracestate import THRESHOLD_HEX_DIGITS
from stream.printable import printable
from stream.propagation.carry import FIELDS

INDENT = "    "
FLAGS = ((0x01, "sampled"), (0x02, "random"))


def hop_lines(evidence: Evidence, trace_id: str, head: str) -> Iterator[str]:
    """Yield the lines of this checkout's way; `head`: by what rule the gateway sampled, in words.

    Only what lies in Kafka is told: the headers that a service noted on its span, and those of the
    message itself.
    """
    spans = evidence.traces[trace_id]
    caller = "customer"
    for service in HTTP_PATH:
        yield from _http_hop(spans, caller, service, head)
        caller = service
    sent = {span.id for span in spans if span.kind is Kind.PRODUCER}
    for message in evidence.messages:
        if message.creator in sent:
            yield from _queue_hop(evidence, spans, message)


def _http_hop(spans: Sequence[Seen], caller: str, service: Service, head: str) -> Iterator[str]:
    served = [span for span in spans if span.service == service and span.kind is Kind.SERVER]
    yield f"{caller} -> {service}   HTTP"
    if not served:
        yield f"{INDENT}no span of {service} says that it was called"
    for span in served:
        for name, values in (
            ("traceparent", span.traceparents),
            ("tracestate", span.trace_states),
        ):
            yield from (f"{INDENT}{name}: {printable(value)}" for value in values)
        if span.traceparents:
            yield f"{INDENT}flags: {_flags(span)}, {_who_set_them(span, spans, caller)}"
            yield f"{INDENT}{_place(span, spans)}"
        else:
            yield f"{INDENT}no traceparent: {span} {span.span_id} begins the trace"
            yield f"{INDENT}{service} sets the sampled flag: {head}{_chosen(span)}"


def _queue_hop(evidence: Evidence, spans: Sequence[Seen], message: Told) -> Iterator[str]:
    sender = next(span for span in spans if span.id == message.creator)
    where = f"partition {message.partition}, offset {message.offset}"
    yield f"{sender.service} -> {evidence.topics['checkouts']}   Kafka, {where}"
    for name, value in message.headers:
        if name.lower() in FIELDS:
            yield f"{INDENT}{name}: {printable(value)}"
    yield f"{INDENT}{sender} {sender.span_id} made the message"
    for consumer in CONSUMERS:
        linking = [
            span
            for span in evidence.spans
            if span.service == consumer and message.creator in span.links
        ]
        if not linking:
            yield f"{INDENT}no span of {consumer} links to it"
        for span in linking:
            count = len(span.links)
            batch = f", one of {count} links" if count > 1 else ""
            yield f"{INDENT}{span}: a trace of its own, {span.trace_id}"
            yield f"{INDENT}  links to {sender.span_id} of {sender.trace_id}{batch}"
            if span.trace_state:
                yield f"{INDENT}  tracestate: {printable(span.trace_state)}"


def _place(span: Seen, spans: Sequence[Seen]) -> str:
    parents = [each for each in spans if each.span_id == span.parent_id]
    above = f"{parents[0]} {span.parent_id}" if parents else f"{span.parent_id}, which is missing"
    return f"{span} {span.span_id}: its parent is {above}"


def _flags(span: Seen) -> str:
    flags = int(span.traceparents[0][-2:], 16) if len(span.traceparents) == 1 else 0
    names = [name for bit, name in FLAGS if flags & bit]
    return " and ".join(names) or "none"


def _who_set_them(span: Seen, spans: Sequence[Seen], caller: str) -> str:
    """Say where the flags come from: the trace's head, if the way up to it is whole."""
    named = {each.span_id: each for each in spans}
    above, seen = span, {span.span_id}
    while above.parent_id in named and above.parent_id not in seen:
        above = named[above.parent_id]
        seen.add(above.span_id)
    if above.parent_id:
        return f"as {caller} sent them: the way up to the trace's head is cut"
    return f"as {above.service} set them"


def _chosen(span: Seen) -> str:
    threshold = threshold_of(span)
    if threshold is None:
        return ""
    digits = THRESHOLD_HEX_DIGITS
    drawn = randomness(int(span.trace_id, 16), span.trace_state.encode())
    return f"; R {drawn:0{digits}x} >= T {threshold:0{digits}x}, so ot=th in tracestate"
