"""What a poll got."""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, TypeVar

from stream.propagation.received import Received, received_all

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
        several: Iterable[Any]
        if isinstance(messages, Mapping):
            several, self.batch = chain.from_iterable(messages.values()), True
        elif isinstance(messages, list | tuple):
            several, self.batch = messages, True
        else:
            several = [] if messages is None else [messages]
        self.messages = received_all(several)
        return messages
