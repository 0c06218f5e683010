"""What a test's work does in another process: importable there, and picklable here."""

import multiprocessing
from typing import Any

from opentelemetry import baggage
from opentelemetry.sdk.trace import TracerProvider

from stream.propagation.boundaries import Parcel

Told = tuple[int, int | None, object]


def child_span() -> Told:
    """Start a span; return its trace id, its parent's span id, and the baggage `shop`."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("other process")
    with tracer.start_as_current_span("child") as span:
        parent = span.parent  # type: ignore[attr-defined]  # the SDK's spans have it
        return (
            span.get_span_context().trace_id,
            parent and parent.span_id,
            baggage.get_baggage("shop"),
        )


def nothing() -> None:
    """Be done: a pool has its process from now on."""


def answer_one(asked: "multiprocessing.Queue[Any]", answers: "multiprocessing.Queue[Told]") -> None:
    """Take work from a queue, as it is or in a parcel, and start a span for it."""
    work = asked.get()
    if isinstance(work, Parcel):
        with work.opened():
            answers.put(child_span())
    else:
        answers.put(child_span())
