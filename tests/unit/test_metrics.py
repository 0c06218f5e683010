"""The metrics are declared once, and the accounting law holds in them."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

import stream
from stream.measurements import OUTCOMES, Measurements
from stream.metrics import ALL_DECLARATIONS, PREFIX, Metrics
from stream.reference import README, written
from stream.sampling.accounting import Accounts
from stream.testing.core import Core, a_record, a_tick, an_error
from stream.worker.partition import Partition

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


def committed(partition: Partition) -> None:
    plan = partition.plan(count_max=100, bytes_max=1 << 20)
    partition.committed(plan, decisions_end=1)
