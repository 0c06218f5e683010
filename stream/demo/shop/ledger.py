"""The ledger: it enters each checkout, one message at a time, with a span for each."""

from collections.abc import Callable

from stream.demo.shop.consuming import (
    WAIT_S,
    consumer_of,
    is_message,
    spans_of_consumer,
    until_told_to_end,
)
from stream.demo.shop.service import Setup
from stream.demo.shop.tracing import Tracing


def run_ledger(setup: Setup, tracing: Tracing, ready: Callable[[int], None]) -> None:
    """Consume until told to end."""
    spans = spans_of_consumer(setup, tracing)
    with until_told_to_end() as ended, consumer_of(setup) as consumer:
        ready(0)
        while not ended.is_set():
            message = consumer.poll(WAIT_S)
            if message is not None and is_message(message):
                with spans.process(message), tracing.tracer.start_as_current_span("enter checkout"):
                    pass  # what a ledger does is not what is shown here
