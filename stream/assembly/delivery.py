"""A trace's deliveries: the first, late ones, promoted ones, each of one record or several."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from stream.assembly.span import Span, spans_of

UNKNOWN: Final = "?"
"""The policy or trigger of a record that does not say it."""

_DELIVERY: Final = re.compile(r"([0-9a-f]{32}:[0-9]{1,19}):([0-9]{1,9})/([0-9]{1,9})")


class Delivered(Protocol):
    """A record of the output topic."""

    @property
    def partition(self) -> int:
        """Where it lies."""

    @property
    def offset(self) -> int:
        """Where it lies in its partition."""

    @property
    def value(self) -> bytes:
        """OTLP `TracesData`."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Its headers, in their order; Kafka allows one without a value."""


@dataclass(slots=True)
class Delivery:
    """What one decision delivered: `parts` of `parts_of` records were found, from `offset` on."""

    policy: str
    trigger: str
    partition: int
    offset: int
    parts_of: int
    parts: set[int] = field(default_factory=set)
    spans: int = 0


@dataclass(slots=True)
class Deliveries:
    """What was read of a trace: its own spans, and those of other traces beside which it was named.

    `unreadable` records were no OTLP.
    """

    trace_id: bytes
    deliveries: list[Delivery] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    others: list[Span] = field(default_factory=list)
    unreadable: int = 0
    _places: dict[tuple[int, str], int] = field(default_factory=dict)

    def add(self, record: Delivered) -> None:
        """Take a record of the output topic."""
        headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        name, part, parts_of = _parts(headers.get("tailstream.delivery", ""))
        known_by = (record.partition, name or f"offset {record.offset}")
        place = self._places.get(known_by, len(self.deliveries))
        try:
            spans = list(spans_of(record.value, delivery=place))
        except DecodeError:
            self.unreadable += 1
            return
        own = [span for span in spans if span.trace_id == self.trace_id]
        self.others += [span for span in spans if span.trace_id != self.trace_id]
        if not own:
            return
        self.spans += own
        if place == len(self.deliveries):
            self._places[known_by] = place
            policy = headers.get("tailstream.policy", UNKNOWN)
            trigger = headers.get("tailstream.trigger", UNKNOWN)
            self.deliveries.append(
                Delivery(policy, trigger, record.partition, record.offset, parts_of)
            )
        self.deliveries[place].parts.add(part)
        self.deliveries[place].spans += len(own)


def deliveries_of(records: Iterable[Delivered], trace_id: bytes) -> Deliveries:
    """Return what these records deliver of a trace."""
    found = Deliveries(trace_id)
    for record in records:
        found.add(record)
    return found


def _parts(header: str) -> tuple[str, int, int]:
    """Return whose part a record is, which, and of how many: `trace id:upto:part/parts`."""
    match = _DELIVERY.fullmatch(header)
    return (match[1], int(match[2]), int(match[3])) if match else ("", 1, 1)
