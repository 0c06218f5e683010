"""A message on its way to the broker, and the span that waits for how it went."""

from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import Span

from stream.propagation.attributes import destination, mark_failed, mark_raised
from stream.propagation.headers import KafkaHeaders


@dataclass(frozen=True, slots=True)
class Sending:
    """A started span `send TOPIC`. `headers` go with the message; `context` has the span in it."""

    span: Span
    context: Context
    headers: KafkaHeaders

    def delivered(self, partition: int | None = None, offset: int | None = None) -> None:
        """End the span: the broker has the message, there."""
        self.span.set_attributes(destination(partition, offset))
        self.span.end()

    def failed(self, type_: str, description: str) -> None:
        """End the span: the broker has not got the message, and why. `type_`: a short name."""
        mark_failed(self.span, type_, description)
        self.span.end()

    def raised(self, error: BaseException) -> None:
        """End the span: the client refused the message with this exception."""
        mark_raised(self.span, error)
        self.span.end()
