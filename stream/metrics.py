"""Every Prometheus metric, declared once.

The accounting law, in spans, of each partition and of their sum:
received = sampled + not_sampled + late_sampled + late_not_sampled + duplicate + dead_lettered
+ open + released. `spans_total` holds the outcomes, counted when their transaction has committed;
`open` is the gauge `open_spans`; `replayed` and `promoted` are counted apart. Only gauges carry the
partition, so a scrape tells the law of the sum; the decisions topic tells it of each partition.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

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


UNHEARD_S: Final = 15.0
"""After so long without a word of the broker it is in doubt where a log ends: lag_seconds grows."""

EMPTY: Final[Mapping[int, tuple[bytes, float]]] = MappingProxyType({})


class CountedHistogram(Histogram):
    """A histogram that is told of many observations at once: one a trace is half a microsecond.

    It knows how prometheus-client keeps them, so the release of that is pinned.
    """

    def observe_counted(
        self,
        counts: Sequence[int],
        total: float,
        exemplars: Mapping[int, tuple[bytes, float]] = EMPTY,
        now_s: float = 0.0,
    ) -> None:
        """Add observations: how many in each bucket, that without a bound last, and their sum.

        `exemplars` are traces by their bucket's index: the id, and its value, as of `now_s`.
        """
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        for at, (trace_id, value) in exemplars.items():
            self._buckets[at].set_exemplar(Exemplar({"trace_id": trace_id.hex()}, value, now_s))

    def show(self, trace_id: str, observed: float, now_s: float) -> None:
        """Let the bucket of what was observed name a trace that it was observed of."""
        bucket = self._buckets[bisect_left(self._upper_bounds, observed)]
        bucket.set_exemplar(Exemplar({"trace_id": trace_id}, observed, now_s))


SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DURATIONS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
DELAYS = (0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

DECLARATIONS: tuple[Declaration, ...] = (
    Declaration(Counter, "spans_received", "Spans folded for the first time."),
    Declaration(
        Counter,
        "spans",
        "Spans by where they went: sampled, not_sampled, late_sampled, late_not_sampled, "
        "duplicate, dead_lettered, released; and replayed, promoted, outside the accounting law.",
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
        "Records of an odd kind: misrouted, key_mismatch, no_spans, skipped, control, "
        "clamped, lost_to_retention, decisions_missing, decisions_unreadable, decisions_foreign "
        "(of another group that shares the topic, or about another input); and what pins found: "
        "pin_pending (nothing yet), of these pin_clipped (its ttl is above decisions.retention, so "
        "that holds), pin_open, pin_dropped (promotes), pin_sampled, pin_repeated, pin_replayed, "
        "pin_refused (limits.pins_max), pin_expired.",
        ("kind",),
    ),
    Declaration(
        Counter,
        "promotions",
        "Dropped traces that were asked for: promoted, promoted_partial (the input no longer holds "
        "all of it), not_found (nothing of it); and deferred: it had to wait for a later round.",
        ("outcome",),
    ),
    Declaration(
        Counter,
        "promotion_records",
        "Input records read again for promotions, those between the wanted ones included.",
    ),
    Declaration(Counter, "promotion_bytes", "Bytes of the values of those records."),
    Declaration(
        Gauge, "pins_pending", "Pins that wait for their traces' first spans.", ("partition",)
    ),
    Declaration(
        Gauge,
        "promotions_waiting",
        "Promotions that have not committed; the resume offset waits for them.",
        ("partition",),
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
        "Wall clock minus partition time while there is lag, else 0; while no broker says where "
        "the log ends, at least since one did.",
        ("partition",),
    ),
    Declaration(
        Gauge,
        "unattended_lag_records",
        "Lag of a partition of others whose committed position stands still: nobody reads it (its "
        "worker was killed, or restores it), or who has it hangs. Told by every other worker.",
        ("partition",),
    ),
    Declaration(Counter, "rejoins", "Joined the group anew: partitions stood still as nobody's."),
    Declaration(
        Gauge, "unattended_lag_seconds", "lag_seconds of such a partition.", ("partition",)
    ),
    Declaration(
        Gauge,
        "unattended_retention_left_seconds",
        "retention_left_seconds of such a partition.",
        ("partition",),
    ),
    Declaration(
        Gauge,
        "consumergroup_lag",
        "lag_records by kafka_exporter's name: the lag of the group `<group>-position`, of "
        "partitions that this worker reads. Only with web.kafka_exporter_names.",
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
        "From a trace's deadline to the commit of its decision, on the wall clock. Exemplars are "
        "kept traces.",
        (),
        DELAYS,
    ),
    Declaration(
        Histogram,
        "trace_duration_seconds",
        "Durations of kept traces, by the policy that kept them, with exemplars of them; what came "
        "late or was promoted is not counted again.",
        ("policy",),
        DURATIONS,
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


def _behind(command: str, records: str, seconds: str) -> tuple[Declaration, ...]:
    """Return the lag of a command beside the workers, by names of its own.

    Whoever scrapes it in the workers' job mixes it up with nothing of theirs.
    """
    names = (f"{command}_lag_records", f"{command}_lag_seconds")
    return tuple(
        Declaration(Gauge, name, text, ("partition",))
        for name, text in zip(names, (records, seconds), strict=True)
    )


def _of(*names: str) -> tuple[Declaration, ...]:
    return tuple(declaration for declaration in DECLARATIONS if declaration.name in names)


_OF_EXEMPLARS: tuple[Declaration, ...] = (
    Declaration(
        Counter, "exemplars_seen", "Exemplars found: in kafka, prometheus, scrape.", ("source",)
    ),
    Declaration(
        Counter,
        "exemplars",
        "Exemplars by what became of them: pinned (the pin is acknowledged), repeated (its trace "
        "is pinned already), without_trace, invalid (no trace id).",
        ("source", "outcome"),
    ),
    Declaration(
        Histogram,
        "exemplars_pin_age_seconds",
        "From an exemplar's measurement to the acknowledgement of its trace's pin.",
        (),
        DELAYS,
    ),
    Declaration(Gauge, "exemplars_pins_under_way", "Pins that are not acknowledged yet."),
    Declaration(
        Counter,
        "exemplars_records",
        "Records of topics.metrics: read, malformed, skipped (of another signal), "
        "lost_to_retention.",
        ("kind",),
    ),
    Declaration(Counter, "exemplars_data_points", "Data points looked at in topics.metrics."),
    Declaration(
        Counter,
        "exemplars_polls",
        "Questions to Prometheus and scrapes of endpoints: answered, failed.",
        ("source", "target", "outcome"),
    ),
    *_behind(
        "exemplars",
        "Records of topics.metrics that are not read yet.",
        "Wall clock minus the time of the newest record read while there are more, else 0.",
    ),
)
_OF_EXPORT: tuple[Declaration, ...] = (
    Declaration(
        Counter,
        "export_records",
        "Records of topics.output by what became of them: accepted, empty (no span), "
        "dead_lettered, lost_to_retention.",
        ("outcome",),
    ),
    Declaration(
        Counter,
        "export_spans",
        "Spans of accepted requests: sent, and of these rejected, by the backend's own words.",
        ("outcome",),
    ),
    Declaration(
        Counter,
        "export_requests",
        "Requests by the backend's answer: accepted, try_again (also no answer), refused, "
        "too_large, failed, not_for_us (address, credentials).",
        ("answer",),
    ),
    Declaration(
        Gauge, "export_held_bytes", "Bytes that were read and that no answer acknowledges yet."
    ),
    *_behind(
        "export",
        "Records of topics.output that the backend has not acknowledged.",
        "How old the oldest of these is that was read; 0 where there is none.",
    ),
)

_OF_REKEY: tuple[Declaration, ...] = (
    Declaration(
        Counter,
        "rekey_records",
        "Records of topics.unkeyed: read, and of these skipped (of another signal), no_spans "
        "(legal, without a span), control (passed on); keyed: written to topics.input; "
        "lost_to_retention.",
        ("kind",),
    ),
    Declaration(Counter, "rekey_spans", "Spans that are safe in topics.input."),
    Declaration(Gauge, "rekey_in_flight_bytes", "Bytes written and not acknowledged yet."),
    *_behind(
        "rekey",
        "Records of topics.unkeyed that are not read yet.",
        "Wall clock minus the time of the newest record read while there are more, else 0.",
    ),
)

EXEMPLARS_DECLARATIONS: Final = (*_OF_EXEMPLARS, *_of("limit_reached", "build"))
"""What `tailstream exemplars` measures; the worker's are `DECLARATIONS`."""
EXPORT_DECLARATIONS: Final = (*_OF_EXPORT, *_of("dead_letters", "limit_reached", "build"))
REKEY_DECLARATIONS: Final = (*_OF_REKEY, *_of("dead_letters", "limit_reached", "build"))

ALL_DECLARATIONS: Final = (*DECLARATIONS, *_OF_EXEMPLARS, *_OF_EXPORT, *_OF_REKEY)


class Metrics:
    """The metrics of one process. `metrics["spans"]` is the instrument of that name."""

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        declarations: Sequence[Declaration] = DECLARATIONS,
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self._instruments = {d.name: _instrument(d, self.registry) for d in declarations}

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
