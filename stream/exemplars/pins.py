"""Pins a trace once for all the exemplars that point at it."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from stream.exemplars.exemplar import NO_TRACE, TRACE_ID_BYTES, Exemplar
from stream.kafka.acknowledged import Pending
from stream.kafka.control_records import ControlRecords
from stream.metrics import Metrics
from stream.sampling.control import Pin

SOURCES: Final = ("kafka", "prometheus", "scrape")
OUTCOMES: Final = ("pinned", "repeated", "without_trace", "invalid")
LIMIT: Final = "pins_remembered_max"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinRules:
    """How long a pin waits for its trace, and how many traces are remembered as pinned.

    For `ttl_ms` a trace is not pinned again.
    """

    ttl_ms: int
    remembered_max: int


@dataclass(slots=True)
class _UnderWay:
    """A pin that is not acknowledged yet, and the records that must not be committed before."""

    source: str
    time_ms: int | None
    pending: list[Pending]


class Pins:
    """Takes exemplars, writes a pin for each new trace. Used from one thread.

    `now_ms` tells the wall clock.
    """

    def __init__(
        self,
        records: ControlRecords,
        rules: PinRules,
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._records = records
        self._rules = rules
        self._metrics = metrics
        self._now_ms = now_ms
        self._under_way: dict[bytes, _UnderWay] = {}
        self._pinned_ms: OrderedDict[bytes, int] = OrderedDict()
        self._counters: dict[tuple[str, str], Any] = {
            # From 0 on: their sum is what was seen.
            (source, outcome): metrics["exemplars"].labels(source, outcome)
            for source in SOURCES
            for outcome in OUTCOMES
        }

    def __len__(self) -> int:
        """How many pins are under way."""
        return len(self._under_way)

    def take(
        self, exemplars: Sequence[Exemplar], source: str, pending: Pending | None = None
    ) -> None:
        """Pin the traces of these exemplars, of a source of `SOURCES`.

        `pending` is the record that they came in: it gets a piece for each pin that it waits for,
        also for one that another record asked for.
        """
        self._metrics["exemplars_seen"].labels(source).inc(len(exemplars))
        for exemplar in exemplars:
            outcome = self._outcome(exemplar, source, pending)
            if outcome is not None:
                self._counters[source, outcome].inc()

    def _outcome(self, exemplar: Exemplar, source: str, pending: Pending | None) -> str | None:
        """Return what became of an exemplar; None while its pin is under way."""
        trace_id = exemplar.trace_id
        waiting = self._under_way.get(trace_id)
        if waiting is not None:
            _await(waiting, pending)
            return "repeated"
        if self._is_remembered(trace_id):
            return "repeated"
        if not trace_id:
            return "without_trace"
        if len(trace_id) != TRACE_ID_BYTES or trace_id == NO_TRACE:
            return "invalid"
        waiting = self._under_way[trace_id] = _UnderWay(source, exemplar.time_ms, [])
        _await(waiting, pending)
        pin = Pin(trace_id, self._rules.ttl_ms, f"exemplars ({source})")
        self._records.write(pin, partial(self._acknowledged, trace_id))
        return None

    def _is_remembered(self, trace_id: bytes) -> bool:
        pinned_ms = self._pinned_ms.get(trace_id)
        if pinned_ms is None:
            return False
        if self._now_ms() - pinned_ms >= self._rules.ttl_ms:
            del self._pinned_ms[trace_id]
            return False
        self._pinned_ms.move_to_end(trace_id)
        return True

    def _acknowledged(self, trace_id: bytes) -> None:
        waiting = self._under_way.pop(trace_id)
        for pending in waiting.pending:
            pending.done()
        now_ms = self._now_ms()
        self._counters[waiting.source, "pinned"].inc()
        if waiting.time_ms is not None:
            age_s = max(0, now_ms - waiting.time_ms) / 1000
            self._metrics["exemplars_pin_age_seconds"].observe(age_s)
        self._pinned_ms[trace_id] = now_ms
        if len(self._pinned_ms) > self._rules.remembered_max:
            self._pinned_ms.popitem(last=False)
            self._metrics["limit_reached"].labels(LIMIT).inc()


def _await(waiting: _UnderWay, pending: Pending | None) -> None:
    # One piece a pin is enough, however many exemplars of the record point at its trace.
    if pending is not None and (not waiting.pending or waiting.pending[-1] is not pending):
        pending.pieces += 1
        waiting.pending.append(pending)
