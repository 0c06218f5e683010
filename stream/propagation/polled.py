"""What a poll got."""

from collections.abc import Mapping
from typing import TypeVar

from stream.propagation.received import Batch, Received, received_all

Got = TypeVar("Got")


class Polled:
    """Is told what the client's poll returned, in the block of `KafkaSpans.poll`."""

    def __init__(self) -> None:
        self.messages: list[Received] = []
        self.batch = False

    def got(self, messages: Got) -> Got:
        """Take note of it and return it as it is.

        One message, or None: an API for single messages. A list, or aiokafka's dict of lists: one
        for batches, which the span then says. Call it once.
        """
        several: Batch
        if isinstance(messages, Mapping | list | tuple):
            several, self.batch = messages, True
        else:
            several = [] if messages is None else [messages]
        self.messages = received_all(several)
        return messages
