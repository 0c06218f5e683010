"""Every Prometheus metric, declared once.

The accounting law, in spans, of each partition and of their sum:
received = sampled + not_sampled + late_sampled + late_not_sampled + duplicate + dead_lettered
+ open + released. `spans_total` holds the outcomes, counted when their transaction has committed;
`open` is the gauge `open_spans`; `replayed` is counted apart. Only gauges carry the partition, so a
scrape tells the law of the sum; the decisions topic tells it of each partition.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.samples import Exemplar

PREFIX = "tailstream_"
KAFKA_EXPORTER_PREFIX = "kafka_"
"""Of kafka_exporter's names, which lag tools and dashboards know (danielqsj/kafka_exporter)."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A metric as data: what the registry, the docs and the tests are made from."""

    kind: type[Any]
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    prefix: str = PREFIX


class CountedHistogram(Histogram):
    """A histogram that is told of many observations at once: one a trace is half a microsecond.

    It knows how prometheus-client keeps them, so the release of that is pinned.
    """

    def observe_counted(self, counts: Sequence[int], total: float) -> None:
        """Add observations: how many in each bucket, that without a bound last, and their sum."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)

    def show(self, trace_id: str, observed: float, now_s: float) -> None:
        """Let the bucket of what was observed name a trace that it was observed of."""
        bucket = self._buckets[bisect_left(self._upper_bounds, observed)]
        bucket.set_exemplar(Exemplar({"trace_id": trace_id}, observed, now_s))


SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DELAYS = (0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

DECLARATIONS: tuple[Declaration, ...] = (
    Declaration(Counter, "spans_received", "Spans folded for the first time."),
    Declaration(
        Counter,
        "spans",
        "Spans by where they went: sampled, not_sampled, late_sampled, late_not_sampled, "
        "duplicate, dead_lettered, released; and replayed, outside the accounting law.",
        ("outcome",),
    ),
    Declaration(
        Counter,
        "traces_decided",
        "Traces whose decision has committed.",
        ("verdict", "policy", "trigger"),
    ),
    Declaration(Counter, "policy_votes", "Votes cast by each policy.", ("policy", "vote")),
    Declaration(Counter, "dead_letters", "Dead letters by reason.", ("reason",)),
    Declaration(Counter, "limit_reached", "How often each limit was reached.", ("limit",)),
    Declaration(
        Counter,
        "records",
        "Records of an odd kind: misrouted, key_mismatch, skipped, control, clamped, "
        "lost_to_retention, decisions_missing, decisions_foreign.",
        ("kind",),
    ),
    Declaration(Gauge, "open_traces", "Traces that are not decided yet.", ("partition",)),
    Declaration(
        Gauge, "open_spans", "Spans received that no outcome accounts for yet.", ("partition",)
    ),
    Declaration(
        Gauge,
        "held_bytes",
        "Bytes held, by place: memory and rocksdb (bodies and decisions), open_traces (their "
        "summaries), undelivered, inbox, rocksdb_memory (memtables and cache), disk (its files).",
        ("where",),
    ),
    Declaration(
        Gauge,
        "budget_bytes",
        "What may be held, by place: memory (storage.memory), disk (storage.disk).",
        ("where",),
    ),
    Declaration(Gauge, "input_partitions", "Partitions of the input topic, as counted last."),
    Declaration(
        Gauge,
        "partitions",
        "Partitions assigned to this worker, by state: restoring, ready.",
        ("state",),
    ),
    Declaration(Gauge, "lag_records", "Records between the position and the end.", ("partition",)),
    Declaration(
        Gauge,
        "lag_seconds",
        "Wall clock minus partition time while there is lag, else 0.",
        ("partition",),
    ),
    Declaration(
        Gauge,
        "consumergroup_lag",
        "lag_records by kafka_exporter's name: the lag of the group `<group>-position`. Only with "
        "web.kafka_exporter_names.",
        ("consumergroup", "topic", "partition"),
        prefix=KAFKA_EXPORTER_PREFIX,
    ),
    Declaration(
        Gauge,
        "held_by_transaction_records",
        "Records of a partition that stands still which an open transaction holds back: from the "
        "last stable offset to the end.",
        ("partition",),
    ),
    Declaration(
        Gauge,
        "replay_debt_records",
        "Records a crash would read again: from the resume offset to the highest position so far.",
        ("partition",),
    ),
    Declaration(
        Gauge,
        "replay_remaining_records",
        "Records that were read before a restart and are still to be read again.",
        ("partition",),
    ),
    Declaration(
        Gauge,
        "decision_wait_seconds",
        "The window: tail_sampling.decision_wait. More lag than this and decisions come late.",
    ),
    Declaration(
        Gauge,
        "oldest_undecided_seconds",
        "Partition time since the oldest open trace was opened.",
        ("partition",),
    ),
    Declaration(
        Gauge,
        "retention_left_seconds",
        "Until retention deletes the resume offset's record: what is not decided by then is lost.",
        ("partition",),
    ),
    Declaration(
        Histogram,
        "decision_delay_seconds",
        "From a trace's deadline to the commit of its decision, on the wall clock.",
        (),
        DELAYS,
    ),
    Declaration(
        Histogram,
        "transaction_seconds",
        "Transactions by outcome: committed, aborted.",
        ("outcome",),
        SECONDS,
    ),
    Declaration(
        Histogram, "restore_seconds", "From assignment to ready, per partition.", (), SECONDS
    ),
    Declaration(
        Gauge,
        "restore_remaining_records",
        "Decision records still to be read: what the replay needs before ready, the rest after.",
        ("partition",),
    ),
    Declaration(Info, "build", "The version, and whether the core is compiled."),
    Declaration(Info, "config", "The hash of the policies that are in force."),
)


class Metrics:
    """The metrics of one process. `metrics["spans"]` is the instrument of that name."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._instruments = {d.name: _instrument(d, self.registry) for d in DECLARATIONS}

    def __getitem__(self, name: str) -> Any:
        return self._instruments[name]

    def forget_partition(self, number: int) -> None:
        """A partition's gauges vanish when it is revoked, so that stale ones cannot alert."""
        for declaration in DECLARATIONS:
            if "partition" in declaration.labels:
                self[declaration.name].remove_by_labels({"partition": str(number)})


def _instrument(declaration: Declaration, registry: CollectorRegistry) -> Any:
    options: dict[str, Any] = {"registry": registry}
    if declaration.buckets:
        options["buckets"] = declaration.buckets
    kind = CountedHistogram if declaration.kind is Histogram else declaration.kind
    name = declaration.prefix + declaration.name
    return kind(name, declaration.help, declaration.labels, **options)
