"""From what the worker's parts know to the metrics: counters by difference, gauges by partition."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from types import MappingProxyType

from stream.metrics import DELAYS, DURATIONS, PREFIX, UNHEARD_S, Metrics
from stream.otlp.fragment import DeadLetterReason
from stream.sampling.accounting import Accounts
from stream.sampling.decision import Verdict
from stream.sampling.delivery import Delivery
from stream.unattended import Waiting
from stream.worker.partition import Partition, PartitionPlan
from stream.worker.tally import Shown, Tally

OUTCOMES = (
    "sampled",
    "not_sampled",
    "late_sampled",
    "late_not_sampled",
    "duplicate",
    "dead_lettered",
    "released",
    "replayed",
    "promoted",
)

CLOSED_LISTS: dict[str, tuple[str, ...]] = {
    # The accounting law is a sum: none of its terms may be missing.
    "spans": OUTCOMES,
    # An alert looks for a rise, and the first of its kind is one only where there was a 0.
    "dead_letters": tuple(DeadLetterReason),
    "limit_reached": (
        "open_traces_max",
        "trace_spans_max",
        "trace_bytes_max",
        "trace_headers_max",
        "maximum_trace_size_bytes",
        "storage_memory",
        "storage_disk",
        "pins_max",
    ),
    "records": (
        "misrouted",
        "key_mismatch",
        "no_spans",
        "skipped",
        "control",
        "clamped",
        "lost_to_retention",
        "decisions_missing",
        "decisions_foreign",
        "decisions_unreadable",
        "pin_pending",
        "pin_clipped",
        "pin_open",
        "pin_dropped",
        "pin_sampled",
        "pin_repeated",
        "pin_replayed",
        "pin_refused",
        "pin_expired",
    ),
    "promotions": ("promoted", "promoted_partial", "not_found", "deferred"),
    "transaction_seconds": ("committed", "aborted"),
}
"""Label values that are there from the start."""

UNATTENDED = (
    "unattended_lag_records",
    "unattended_lag_seconds",
    "unattended_retention_left_seconds",
)

SHOWN_LOOKED_AT_MAX = 100

NONE_UNHEARD: Mapping[int, float] = MappingProxyType({})

MS_PER_S, US_PER_S = 1_000, 1_000_000
DELAYS_MS = [round(bound * MS_PER_S) for bound in DELAYS]
DURATIONS_US = [round(bound * US_PER_S) for bound in DURATIONS]


class Measurements:
    """Writes the metrics. `retention_ms` is the input topic's, None where it is not known.

    `held_bytes` tells what is held by place, beside the stores of the partitions. `lag_of` is the
    group and the topic whose lag is told by kafka_exporter's name, too.
    """

    def __init__(
        self,
        metrics: Metrics,
        retention_ms: int | None = None,
        held_bytes: Callable[[], Mapping[str, int]] = dict,
        lag_of: tuple[str, str] | None = None,
    ) -> None:
        self._metrics = metrics
        self._retention_ms = retention_ms
        self._held_bytes = held_bytes
        self._lag_of = lag_of
        self._seen: dict[int, tuple[Accounts, Counter[tuple[str, ...]]]] = {}
        for name, values in CLOSED_LISTS.items():
            for value in values:
                metrics[name].labels(value)

    def unattended(self, waiting: Mapping[int, Waiting], now_ms: int) -> None:
        """Tell what waits in partitions that nobody reads, and nothing of any other."""
        for name in UNATTENDED:
            self._metrics[name].clear()
        for number, found in waiting.items():
            gauges: dict[str, float] = {"unattended_lag_records": found.records}
            if found.times is not None:
                behind_ms = max(0, now_ms - found.times.position_ms)
                gauges["unattended_lag_seconds"] = behind_ms / MS_PER_S
                if self._retention_ms is not None:
                    left_ms = self._retention_ms - (now_ms - found.times.resume_ms)
                    gauges["unattended_retention_left_seconds"] = left_ms / MS_PER_S
            for name, value in gauges.items():
                self._metrics[name].labels(str(number)).set(value)

    def accounts(self, number: int, accounts: Accounts) -> None:
        """Add what a partition's accounts have grown by."""
        now = _flat(accounts)
        seen, before = self._seen.get(number, (accounts, Counter()))
        if seen is not accounts:
            # The partition went and came back: these accounts began anew.
            before = Counter()
        for labels, count in now.items():
            if grown := count - before[labels]:
                name, *values = labels
                instrument = self._metrics[name]
                (instrument.labels(*values) if values else instrument).inc(grown)
        self._seen[number] = (accounts, now)

    def committed(self, plans: Collection[PartitionPlan], seconds: float, now_ms: int) -> None:
        """A transaction committed, with these plans of partitions that are still ours."""
        took = self._metrics["transaction_seconds"].labels("committed")
        took.observe(seconds)
        tally = Tally(DELAYS_MS, DURATIONS_US)
        for plan in plans:
            self.accounts(plan.partition, plan.owner.sampler.accounts)
            tally.add(plan.settled, now_ms)
        for reason, count in tally.dead_letters.items():
            self._metrics["dead_letters"].labels(reason).inc(count)
        for labels, count in tally.decided.items():
            self._metrics["traces_decided"].labels(*labels).inc(count)
        delays = self._metrics["decision_delay_seconds"]
        now_s = now_ms / MS_PER_S
        delays.observe_counted(
            tally.delays,
            tally.delay_ms / MS_PER_S,
            _exemplars(tally.delay_exemplars, MS_PER_S),
            now_s,
        )
        for policy, durations in tally.durations.items():
            self._metrics["trace_duration_seconds"].labels(policy).observe_counted(
                durations.counts,
                durations.sum_us / US_PER_S,
                _exemplars(durations.exemplars, US_PER_S),
                now_s,
            )
        for kept in filter(None, map(_kept, plans)):
            took.show(kept.decision.trace_id.hex(), seconds, now_s)

    def rejoined(self) -> None:
        """The worker is joining the group anew, for partitions that are nobody's."""
        self._metrics["rejoins"].inc()

    def aborted(self, seconds: float) -> None:
        """A transaction was aborted."""
        self._metrics["transaction_seconds"].labels("aborted").observe(seconds)

    def assigned(self, *, restoring: int, ready: int, of: int) -> None:
        """Set how many of the input's partitions are this worker's."""
        self._metrics["partitions"].labels("restoring").set(restoring)
        self._metrics["partitions"].labels("ready").set(ready)
        self._metrics["input_partitions"].set(of)

    def held_by_transaction(self, held: Mapping[int, int]) -> None:
        """Set how many records of each partition an open transaction holds back."""
        for number, records in held.items():
            self._metrics["held_by_transaction_records"].labels(str(number)).set(records)

    def partitions(
        self,
        partitions: Iterable[Partition],
        ends: Mapping[int, int],
        now_ms: int,
        unheard_s: Mapping[int, float] = NONE_UNHEARD,
    ) -> None:
        """Set the gauges. `ends`: the ends of the logs as far as they are known.

        `unheard_s`: how long ago the broker said them. Who is cut off from it has read all that it
        knows of: it is behind by as long as that, at worst.
        """
        held: Counter[str] = Counter({"memory": 0, "rocksdb": 0, **self._held_bytes()})
        for partition in partitions:
            self.accounts(partition.number, partition.sampler.accounts)
            number = partition.number
            in_doubt_s = unheard_s.get(number, 0.0)
            in_doubt_ms = round(in_doubt_s * MS_PER_S) if in_doubt_s > UNHEARD_S else 0
            self._partition(partition, ends.get(number), now_ms, in_doubt_ms)
            held.update(partition.held_bytes())
        for where, size in held.items():
            self._metrics["held_bytes"].labels(where).set(size)

    def summary(self) -> dict[str, int]:
        """Return what a line in the log tells of the process so far, in spans, and of now."""
        registry = self._metrics.registry
        counted = {
            "received": registry.get_sample_value(PREFIX + "spans_received_total"),
            **{
                outcome: registry.get_sample_value(PREFIX + "spans_total", {"outcome": outcome})
                for outcome in OUTCOMES
            },
        }
        now = {
            name: sum(sample.value for sample in self._metrics[name].collect()[0].samples)
            for name in ("open_traces", "lag_records")
        }
        return {name: int(value or 0) for name, value in (counted | now).items()}

    def keys(self, counts: Mapping[str, int]) -> None:
        """Count records that tell of a misrouted or unkeyed topic, or of one that is not OTLP."""
        for kind, count in counts.items():
            self._metrics["records"].labels(kind).inc(count)

    def revoked(self, number: int, accounts: Accounts | None) -> None:
        """A partition is no longer ours: count what it released, take its gauges away.

        One that was not restored yet has no accounts.
        """
        if accounts is not None:
            self.accounts(number, accounts)
        self._seen.pop(number, None)
        self._metrics.forget_partition(number)

    def restored(self, seconds: float) -> None:
        """A partition is ready."""
        self._metrics["restore_seconds"].observe(seconds)

    def restoring(self, number: int, remaining: int) -> None:
        """A partition's decisions are being read."""
        self._metrics["restore_remaining_records"].labels(str(number)).set(remaining)

    def _partition(
        self, partition: Partition, end: int | None, now_ms: int, in_doubt_ms: int
    ) -> None:
        sampler, label = partition.sampler, str(partition.number)
        opened_ms = sampler.oldest_opened_ms
        age_ms = 0 if opened_ms is None else sampler.time_ms - opened_ms
        gauges: dict[str, float] = {
            "open_traces": sampler.open_traces,
            "open_spans": sampler.open_spans,
            "replay_debt_records": partition.replay_debt,
            "replay_remaining_records": partition.replay_remaining,
            "oldest_undecided_seconds": age_ms / 1000,
            "pins_pending": sampler.pins_pending,
            "promotions_waiting": sampler.promotions,
        }
        if end is not None:
            lag = max(0, end - sampler.position)
            behind_ms = now_ms - sampler.time_ms if lag and sampler.time_ms else 0
            gauges |= {"lag_records": lag, "lag_seconds": max(in_doubt_ms, behind_ms) / 1000}
            if self._lag_of is not None:
                self._metrics["consumergroup_lag"].labels(*self._lag_of, label).set(lag)
            if self._retention_ms is not None:
                resume_offset, resume_ms = sampler.resume()
                held_ms = now_ms - resume_ms if resume_offset < end and resume_ms else 0
                gauges["retention_left_seconds"] = (self._retention_ms - held_ms) / 1000
        for name, value in gauges.items():
            self._metrics[name].labels(label).set(value)


def _kept(plan: PartitionPlan) -> Delivery | None:
    """Return a kept trace of the plan, its first: it has waited longest. None if none is near."""
    for one in islice(plan.settled, SHOWN_LOOKED_AT_MAX):
        delivered = one.delivered
        if (
            isinstance(delivered, Delivery)
            and not delivered.late
            and delivered.decision.verdict is Verdict.SAMPLED
        ):
            return delivered
    return None


def _exemplars(shown: Mapping[int, Shown], per_s: int) -> dict[int, tuple[bytes, float]]:
    return {bucket: (trace_id, value / per_s) for bucket, (trace_id, value) in shown.items()}


def _flat(accounts: Accounts) -> Counter[tuple[str, ...]]:
    flat: Counter[tuple[str, ...]] = Counter()
    flat["spans_received",] = accounts.received
    for outcome in OUTCOMES:
        flat["spans", outcome] = getattr(accounts, outcome)
    for (policy, vote), count in accounts.votes.items():
        flat["policy_votes", policy, vote] = count
    for limit, count in accounts.limits.items():
        flat["limit_reached", limit] = count
    for end, count in accounts.promotions.items():
        flat["promotions", end] = count
    for kind, count in accounts.records.items():
        flat["records", kind] = count
    return flat
