"""What became of everything that an exporter was given: each span or data point under one name."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

METER: Final = "tailstream.propagation"


class DropReason(StrEnum):
    """Why a span or data point did not reach Kafka, as far as the exporter knows."""

    BUFFER_FULL = "buffer_full"
    TIMED_OUT = "timed_out"
    TOO_LARGE = "too_large"
    NOT_ENCODABLE = "not_encodable"
    REFUSED = "refused"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class ExportCounts:
    """Spans, or data points, since the process began (in a forked child: since the fork).

    received = exported + dropped, all reasons together, + waiting. `exported`: all in-sync replicas
    have acknowledged it. One whose acknowledgement was lost, and that was dropped for its age or at
    the shutdown, may be in Kafka all the same. `ended`: on their way to the exporter, or received;
    once the way is empty, ended - received were dropped on it.
    """

    received: int
    exported: int
    dropped: Mapping[DropReason, int]
    waiting: int
    ended: int = 0

    @property
    def dropped_total(self) -> int:
        """Whatever the reason."""
        return sum(self.dropped.values())


class Tally:
    """Counts for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = 0
        self._received = 0
        self._exported = 0
        self._dropped: Counter[DropReason] = Counter()

    def ended(self) -> None:
        """One more is on its way here."""
        with self._lock:
            self._ended += 1

    def received(self, count: int) -> None:
        """So many came in."""
        with self._lock:
            self._received += count

    def exported(self, count: int) -> None:
        """So many were acknowledged."""
        with self._lock:
            self._exported += count

    def dropped(self, count: int, reason: DropReason) -> int:
        """So many were given up; return how many that makes for this reason."""
        with self._lock:
            self._dropped[reason] += count
            return self._dropped[reason]

    def counts(self) -> ExportCounts:
        """Return all of them, at one instant."""
        with self._lock:
            dropped = dict(self._dropped)
            waiting = self._received - self._exported - sum(dropped.values())
            return ExportCounts(self._received, self._exported, dropped, waiting, self._ended)


_instances = itertools.count()


def observe(
    provider: MeterProvider, counts: Callable[[], ExportCounts], *, component: str, what: str
) -> None:
    """Make `counts` metrics of the SDK's conventions: `otel.sdk.exporter.{what}.*`.

    `what` is span or metric_data_point, `component` the exporter's class. Source of the names:
    OpenTelemetry's semantic conventions, "SDK metrics" (development), where what was dropped has
    the reason in `error.type`.
    """
    kind = {"otel.component.type": component, "otel.component.name": f"{component}/{_next()}"}

    def finished(_: CallbackOptions) -> Iterable[Observation]:
        now = counts()
        yield Observation(now.exported, kind)
        for reason, dropped in now.dropped.items():
            yield Observation(dropped, {**kind, "error.type": str(reason)})

    def waiting(_: CallbackOptions) -> Iterable[Observation]:
        yield Observation(counts().waiting, kind)

    unit = "{data_point}" if what == "metric_data_point" else "{span}"
    meter = provider.get_meter(METER)
    names = f"otel.sdk.exporter.{what}"
    meter.create_observable_counter(f"{names}.exported", [finished], unit)
    meter.create_observable_up_down_counter(f"{names}.inflight", [waiting], unit)


def _next() -> int:
    return next(_instances)
