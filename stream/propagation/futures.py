"""The end of a span that waits for an asyncio future, as aiokafka and Faust promise a delivery."""

import asyncio
from functools import partial
from typing import Any

from stream.propagation.sending import Sending


def end_with(future: "asyncio.Future[Any]", sending: Sending) -> None:
    """End the span when the future is done: with a RecordMetadata, an exception or cancelled."""
    future.add_done_callback(partial(_ended, sending))


def _ended(sending: Sending, future: "asyncio.Future[Any]") -> None:
    if future.cancelled():
        sending.failed("cancelled", "nobody waits for the delivery any more")
    elif error := future.exception():
        sending.raised(error)
    else:
        metadata = future.result()
        sending.delivered(metadata.partition, metadata.offset)
