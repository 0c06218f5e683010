"""What the export measures: its counts, what it holds, how far it is behind."""

from collections.abc import Mapping
from typing import Final

from stream import clock
from stream.companion import GroupLag, Totals
from stream.export.answer import Meaning
from stream.export.delivery import MALFORMED, REFUSED_BY_BACKEND, ExportCounts
from stream.kafka.group_reader import Behind
from stream.metrics import Metrics

LIMIT: Final = "export_held_bytes"


class Measured:
    """Writes the metrics of one export."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._totals = Totals(metrics)
        self._lag = GroupLag(metrics["export_lag_records"], metrics["export_lag_seconds"])
        metrics["limit_reached"].labels(LIMIT)
        self.counts(ExportCounts(), held_bytes=0)

    def counts(self, counts: ExportCounts, *, held_bytes: int) -> None:
        """Let the counters show these counts."""
        letters = {reason: counts.dead_letters[reason] for reason in _REASONS}
        records = {
            "accepted": counts.records,
            "empty": counts.empty,
            "dead_lettered": sum(letters.values()),
            "lost_to_retention": counts.lost_to_retention,
        }
        spans = {"sent": counts.spans, "rejected": counts.rejected_spans}
        answers = {meaning.name.lower(): counts.answers[meaning] for meaning in Meaning}
        self._totals.tell_each("export_records", records)
        self._totals.tell_each("export_spans", spans)
        self._totals.tell_each("export_requests", answers)
        self._totals.tell_each("dead_letters", letters)
        self._metrics["export_held_bytes"].set(held_bytes)

    def full(self) -> None:
        """So much waits for the backend that nothing more is read."""
        self._metrics["limit_reached"].labels(LIMIT).inc()

    def behind(self, behind: Mapping[int, Behind]) -> None:
        """Set the lag of the partitions that are ours."""
        self._lag.measure(behind, clock.now_ms())


_REASONS: Final = (MALFORMED, REFUSED_BY_BACKEND)
