"""Watches whether the input's records hold spans, and lie where their trace's other spans do."""

from dataclasses import dataclass, field

from stream.kafka.partitioner import fitting
from stream.kafka.receive import Batch

TOLD_ABOVE = 0.01
WINDOW_S = 60.0
SAMPLE_MAX = 1_000


@dataclass(slots=True)
class Routing:
    """Counts a minute's records; one in a hundred astray or without a span is worth a line.

    `partitioner` is the one that is configured, `began_s` the monotonic time the minute began.
    """

    partitioner: str
    began_s: float
    _records: int = 0
    _astray: int = 0
    _no_spans: int = 0
    _sample: list[tuple[bytes, int]] = field(default_factory=list)

    def saw(self, batch: Batch) -> None:
        """Count a batch."""
        self._records += len(batch.records)
        self._astray += max(batch.keys["misrouted"], batch.keys["key_mismatch"])
        self._no_spans += batch.keys["no_spans"]
        if batch.keys and len(self._sample) < SAMPLE_MAX:
            self._sample += [(r.key, batch.partition) for r in batch.records if r.key]

    def advice(self, now_s: float, partitions: int) -> str | None:
        """Return what to do, at most once a minute; None while all is well."""
        if now_s < self.began_s + WINDOW_S:
            return None
        records, astray, sample = self._records, self._astray, self._sample[:SAMPLE_MAX]
        no_spans = self._no_spans
        self.began_s, self._records, self._astray, self._sample = now_s, 0, 0, []
        self._no_spans = 0
        if records and no_spans > TOLD_ABOVE * records:
            return (
                f"{no_spans / records:.0%} of the input's records hold no span: set `encoding: "
                "otlp_proto` (or otlp_json) in whatever writes them"
            )
        if not records or astray <= TOLD_ABOVE * records:
            return None
        fits = fitting(sample, partitions) if sample and partitions else None
        if fits is not None and fits != self.partitioner:
            remedy = f"set topics.partitioner to {fits}, by which the keys lie"
        else:
            remedy = "bring them there with `tailstream rekey` (set topics.unkeyed)"
        return (
            f"{astray / records:.0%} of the input's records are not where their trace id belongs, "
            f"so traces may be cut in several: {remedy}"
        )
