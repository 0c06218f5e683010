"""The tests' load as applications send it to a Collector: OTLP requests, at their times."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.harness.load import MALFORMED, Load
from tests.harness.oracle import decode, placed_spans
from tests.real.collector_process import CollectorProcess

EVERY_S = 0.1

SpanBytes = tuple[bytes, bytes, bytes]
"""A span, its scope and its resource, each as deterministic bytes, as a Collector writes them."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is posted at once: seconds after the load's start."""

    at_s: float
    message: TracesData


def requests_of(load: Load) -> list[Request]:
    """Return a load as requests of some traces each, in the order of sending.

    Without what an application's exporter does not send: garbage, and spans without an id.
    """
    requests: list[Request] = []
    for record in load.records():
        if record.value in MALFORMED:
            continue
        if not requests or record.at_s >= requests[-1].at_s + EVERY_S:
            requests.append(Request(record.at_s, TracesData()))
        requests[-1].message.MergeFrom(decode(record.value))
    for request in requests:
        _drop_spans_without_a_trace(request.message)
    return requests


def send_all(
    collector: CollectorProcess,
    requests: Iterable[Request],
    headers: Mapping[str, str] | None = None,
) -> None:
    """Post them at their times, or as soon after as the machine allows."""
    started_s = time.monotonic()
    for request in requests:
        early_s = started_s + request.at_s - time.monotonic()
        if early_s > 0:
            time.sleep(early_s)
        collector.send(request.message.SerializeToString(), headers)


def spans_in(messages: Iterable[TracesData]) -> Counter[SpanBytes]:
    """Return every span with what it hangs below, and how often it is there."""
    return Counter(
        (placed.span.SerializeToString(deterministic=True), placed.scope, placed.resource)
        for message in messages
        for placed in placed_spans(_as_a_collector_writes(message))
    )


def _as_a_collector_writes(message: TracesData) -> TracesData:
    """Return it without fields of no OTLP yet, and with those that a Collector always writes."""
    written = TracesData()
    written.CopyFrom(message)
    written.DiscardUnknownFields()
    for resource in written.resource_spans:
        resource.resource.SetInParent()
        for scope in resource.scope_spans:
            scope.scope.SetInParent()
            for span in scope.spans:
                span.status.SetInParent()
    return written


def _drop_spans_without_a_trace(message: TracesData) -> None:
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            good = [span for span in scope.spans if any(span.trace_id)]
            if len(good) < len(scope.spans):
                del scope.spans[:]
                scope.spans.extend(good)
