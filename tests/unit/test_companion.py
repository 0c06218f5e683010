"""What the commands beside the workers measure follows what they count and what the group gives."""

from stream.companion import GroupLag, Totals
from stream.kafka.group_reader import Behind
from stream.metrics import EXPORT_DECLARATIONS, REKEY_DECLARATIONS, Metrics


def values(metrics: Metrics, name: str) -> dict[str, float]:
    """Return a gauge's samples by their partition."""
    (family,) = metrics[name].collect()
    return {sample.labels["partition"]: sample.value for sample in family.samples}


def test_a_counter_shows_the_total_that_it_was_told_last() -> None:
    metrics = Metrics(declarations=REKEY_DECLARATIONS)
    totals = Totals(metrics)

    for total in (0, 3, 3, 10):
        totals.tell("rekey_spans", total)
        totals.tell_each("rekey_records", {"read": 2 * total, "skipped": 0})

    sample = metrics.registry.get_sample_value
    assert sample("tailstream_rekey_spans_total") == 10
    assert sample("tailstream_rekey_records_total", {"kind": "read"}) == 20
    assert sample("tailstream_rekey_records_total", {"kind": "skipped"}) == 0


def test_lag_is_the_age_of_the_oldest_record_that_waits_and_nothing_where_none_does() -> None:
    metrics = Metrics(declarations=EXPORT_DECLARATIONS)
    lag = GroupLag(metrics["export_lag_records"], metrics["export_lag_seconds"])

    lag.measure({0: Behind(7, 4_000), 1: Behind(0, 4_000), 2: Behind(5, None)}, now_ms=10_500)

    assert values(metrics, "export_lag_records") == {"0": 7, "1": 0, "2": 5}
    assert values(metrics, "export_lag_seconds") == {"0": 6.5, "1": 0, "2": 0}


def test_who_cannot_hear_of_the_end_does_not_tell_that_nothing_is_behind() -> None:
    metrics = Metrics(declarations=EXPORT_DECLARATIONS)
    lag = GroupLag(metrics["export_lag_records"], metrics["export_lag_seconds"])

    lag.measure(
        {
            0: Behind(0, 9_000, unheard_s=120),
            1: Behind(0, 9_000, unheard_s=1),
            2: Behind(1, 1_000, unheard_s=300),
        },
        now_ms=500_000,
    )

    assert values(metrics, "export_lag_seconds") == {"0": 120, "1": 0, "2": 499}


def test_a_clock_that_is_ahead_makes_no_lag_below_nothing() -> None:
    metrics = Metrics(declarations=EXPORT_DECLARATIONS)
    lag = GroupLag(metrics["export_lag_records"], metrics["export_lag_seconds"])

    lag.measure({0: Behind(1, 9_000)}, now_ms=8_000)

    assert values(metrics, "export_lag_seconds") == {"0": 0}


def test_the_lag_of_a_partition_that_is_ours_no_more_vanishes() -> None:
    metrics = Metrics(declarations=EXPORT_DECLARATIONS)
    lag = GroupLag(metrics["export_lag_records"], metrics["export_lag_seconds"])

    lag.measure({0: Behind(7, 4_000), 1: Behind(1, 4_000)}, now_ms=5_000)
    lag.measure({1: Behind(2, 4_000)}, now_ms=5_000)

    assert values(metrics, "export_lag_records") == {"1": 2}
    assert values(metrics, "export_lag_seconds") == {"1": 1}
