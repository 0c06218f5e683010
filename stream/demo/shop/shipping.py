"""Shipping: it plans the parcels of many checkouts at once, with one span for each batch."""

from collections.abc import Callable

from stream.demo.shop.consuming import (
    consumer_of,
    is_message,
    spans_of_consumer,
    until_told_to_end,
)
from stream.demo.shop.service import Setup
from stream.demo.shop.tracing import Tracing

BATCH_MESSAGES_MAX = 20
BATCH_WAIT_S = 0.5


def run_shipping(setup: Setup, tracing: Tracing, ready: Callable[[int], None]) -> None:
    """Consume until told to end."""
    spans = spans_of_consumer(setup, tracing)
    with until_told_to_end() as ended, consumer_of(setup) as consumer:
        ready(0)
        while not ended.is_set():
            messages = consumer.consume(BATCH_MESSAGES_MAX, BATCH_WAIT_S)
            batch = [message for message in messages if is_message(message)]
            if batch:
                with (
                    spans.process_batch(batch),
                    tracing.tracer.start_as_current_span("plan parcels"),
                ):
                    pass  # what shipping does is not what is shown here
