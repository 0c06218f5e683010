"""The metrics are declared once, and the accounting law holds in them."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

import stream
from stream.measurements import CLOSED_LISTS, OUTCOMES, Measurements
from stream.metrics import ALL_DECLARATIONS, PREFIX, Metrics
from stream.reference import README, written
from stream.sampling.accounting import Accounts
from stream.sampling.record import RecordKind
from stream.testing.core import Core, a_record, a_tick, an_error, an_ordinary
from stream.testing.spans import trace_id_of
from stream.worker.partition import Partition, PartitionPlan

PACKAGE = Path(stream.__file__).parent


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(PREFIX + name, labels)


def some_accounts() -> Accounts:
    accounts = Accounts(received=20, sampled=6, not_sampled=5, late_sampled=1)
    accounts.late_not_sampled = accounts.duplicate = accounts.dead_lettered = 1
    accounts.votes["errors", "sampled"] = 2
    accounts.limits["trace_spans_max"] = 1
    accounts.records["skipped"] = 3
    return accounts


def test_every_declared_metric_is_used_and_every_used_one_declared() -> None:
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "metrics.py")
    declared = {declaration.name for declaration in ALL_DECLARATIONS}
    quoted = set(re.findall(r'"([a-z_]+)"', code))

    assert declared - quoted == set()
    assert set(re.findall(r'metrics\["([a-z_]+)"\]', code)) <= declared


def test_the_reference_tables_of_the_readme_are_current() -> None:
    readme = README.read_text()

    assert written(readme) == readme, "run: make docs"


def test_the_counters_grow_by_what_the_accounts_have_grown_by() -> None:
    metrics = Metrics()
    measurements = Measurements(metrics)
    accounts = some_accounts()

    measurements.accounts(0, accounts)
    measurements.accounts(0, accounts)
    accounts.sampled += 4
    measurements.accounts(0, accounts)

    assert value(metrics.registry, "spans_received_total") == 20
    assert value(metrics.registry, "spans_total", outcome="sampled") == 10
    assert value(metrics.registry, "policy_votes_total", policy="errors", vote="sampled") == 2
    assert value(metrics.registry, "limit_reached_total", limit="trace_spans_max") == 1
    assert value(metrics.registry, "records_total", kind="skipped") == 3


def test_partitions_add_up_and_one_that_comes_back_starts_anew() -> None:
    metrics = Metrics()
    measurements = Measurements(metrics)

    gone = Accounts(received=5, released=5)
    measurements.accounts(0, gone)
    measurements.accounts(1, Accounts(received=2))
    measurements.revoked(0, gone)
    measurements.accounts(0, Accounts(received=3))

    assert value(metrics.registry, "spans_received_total") == 10
    assert value(metrics.registry, "spans_total", outcome="released") == 5


def test_a_partition_that_is_measured_once_more_after_it_was_lost_counts_nothing_twice() -> None:
    metrics = Metrics()
    measurements = Measurements(metrics)
    lost = Accounts(received=100)
    measurements.accounts(0, lost)
    measurements.revoked(0, lost)

    measurements.accounts(0, Accounts(received=7))
    measurements.accounts(0, Accounts(received=3))

    assert value(metrics.registry, "spans_received_total") == 110


def test_a_partition_that_was_not_restored_yet_leaves_no_gauge() -> None:
    metrics = Metrics()
    measurements = Measurements(metrics)
    measurements.restoring(3, 10)

    measurements.revoked(3, None)

    assert value(metrics.registry, "restore_remaining_records", partition="3") is None


def test_every_outcome_of_the_accounting_law_is_exported() -> None:
    law = {
        name for name in Accounts.__dataclass_fields__ if isinstance(getattr(Accounts(), name), int)
    }

    assert set(OUTCOMES) == law - {"received"}


def test_a_revoked_partition_s_gauges_vanish() -> None:
    metrics = Metrics()
    measurements = Measurements(metrics)
    measurements.restoring(3, 10)

    measurements.revoked(3, Accounts())

    assert value(metrics.registry, "restore_remaining_records", partition="3") is None


def test_the_summary_tells_the_outcomes_and_what_is_open() -> None:
    measurements = Measurements(Metrics())
    measurements.accounts(0, some_accounts())

    told = measurements.summary()

    assert (told["received"], told["sampled"], told["late_sampled"]) == (20, 6, 1)
    assert (told["open_traces"], told["lag_records"], told["released"]) == (0, 0, 0)


def test_retention_left_is_counted_from_the_record_that_a_crash_would_read_first() -> None:
    metrics = Metrics()
    measurements = Measurements(metrics, retention_ms=60_000)
    partition = Core().partition(0)
    partition.sampler.fold([a_record(0, 1_000, an_error(1))])

    measurements.partitions([partition], {0: 1}, now_ms=11_000)
    held = value(metrics.registry, "retention_left_seconds", partition="0")
    partition.sampler.fold([a_tick(1, 20_000)])
    committed(partition)
    measurements.partitions([partition], {0: 2}, now_ms=30_000)

    assert held == 50
    assert value(metrics.registry, "retention_left_seconds", partition="0") == 60


def test_who_cannot_hear_of_the_end_does_not_tell_that_nothing_is_behind() -> None:
    metrics = Metrics()
    measurements = Measurements(metrics)
    partition = Core().partition(0)
    partition.sampler.fold([a_record(0, 1_000, an_error(1))])

    def behind(unheard_s: float) -> float | None:
        measurements.partitions([partition], {0: 1}, now_ms=11_000, unheard_s={0: unheard_s})
        return value(metrics.registry, "lag_seconds", partition="0")

    assert [behind(1), behind(120), behind(0)] == [0, 120, 0]


def test_counters_of_closed_lists_begin_at_nothing_so_that_the_first_is_a_rise() -> None:
    metrics = Metrics()
    Measurements(metrics)

    assert value(metrics.registry, "dead_letters_total", reason="poison") == 0
    assert value(metrics.registry, "limit_reached_total", limit="storage_memory") == 0
    assert value(metrics.registry, "records_total", kind="lost_to_retention") == 0
    assert value(metrics.registry, "transaction_seconds_count", outcome="aborted") == 0


def test_the_lists_are_closed() -> None:
    core = "".join(path.read_text() for path in sorted((PACKAGE / "sampling").rglob("*.py")))
    limits = set(re.findall(r'_limit\([^)]*?"(\w+)"', core, re.DOTALL))
    limits |= set(re.findall(r'limits\["(\w+)"\]', core))

    assert limits == {*CLOSED_LISTS["limit_reached"]}
    assert {kind.value for kind in RecordKind} - {"spans"} <= {*CLOSED_LISTS["records"]}


def test_the_lag_has_kafka_exporter_s_name_where_asked_for_and_goes_with_its_partition() -> None:
    metrics, silent = Metrics(), Metrics()
    measurements = Measurements(metrics, lag_of=("t-position", "spans"))
    partitions = [Core().partition(number) for number in (0, 1)]

    Measurements(silent).partitions(partitions, {0: 7, 1: 9}, now_ms=1_000)
    measurements.partitions(partitions, {0: 7, 1: 9}, now_ms=1_000)
    measurements.revoked(0, None)

    assert lags(metrics) == {("t-position", "spans", "1"): 9}
    assert lags(silent) == {}


def lags(metrics: Metrics) -> dict[tuple[str, ...], float]:
    (family,) = metrics["consumergroup_lag"].collect()
    assert family.name == "kafka_consumergroup_lag"
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


def test_the_buckets_of_a_delay_and_of_its_transaction_name_a_kept_trace() -> None:
    metrics = Metrics()
    measurements = Measurements(metrics)
    partition = Core().partition(0)
    partition.sampler.fold(
        [a_record(0, 1_000, an_ordinary(7)), a_record(1, 1_000, an_error(8)), a_tick(2, 9_000)]
    )
    plan = committed(partition)

    measurements.committed([plan], 0.3, now_ms=1_000 + 30 + 640)

    trace_id = trace_id_of(8).hex()
    assert exemplars(metrics, "decision_delay_seconds") == {"0.75": (trace_id, 0.64)}
    assert exemplars(metrics, "transaction_seconds") == {"0.5": (trace_id, 0.3)}


def test_a_transaction_without_a_kept_trace_names_none() -> None:
    metrics = Metrics()
    measurements = Measurements(metrics)
    partition = Core().partition(0)
    partition.sampler.fold([a_record(0, 1_000, an_ordinary(7)), a_tick(1, 9_000)])

    measurements.committed([committed(partition)], 0.3, now_ms=2_000)

    assert value(metrics.registry, "decision_delay_seconds_count") == 1
    assert exemplars(metrics, "decision_delay_seconds") == {}


def exemplars(metrics: Metrics, name: str) -> dict[str, tuple[str, float]]:
    (family,) = metrics[name].collect()
    return {
        sample.labels["le"]: (sample.exemplar.labels["trace_id"], sample.exemplar.value)
        for sample in family.samples
        if sample.exemplar is not None
    }


def committed(partition: Partition) -> PartitionPlan:
    plan = partition.plan(count_max=100, bytes_max=1 << 20)
    partition.committed(plan, decisions_end=1)
    return plan
