"""The labels that every query selects by, and the variables that choose them."""

from typing import Final

from deploy.dashboards.model import Variable

JOB: Final = Variable("job", "Workers (job)", "tailstream_config_info", several=False)
"""Prometheus's job: one for each worker group, see `deploy/prometheus/prometheus.yaml`."""
INSTANCE: Final = Variable("instance", "Worker", "tailstream_config_info")
PARTITION: Final = Variable("partition", "Partition", "tailstream_open_traces")

TOLD_LAST: Final = "30s"

FLEET: Final = 'job="$job"'
WORKERS: Final = 'job="$job", instance=~"$instance"'
BESIDE: Final = 'job=~"$job(-export|-exemplars|-rekey)?"'
"""What runs beside the group: in jobs named after it, or in its own."""
PARTITIONS: Final = 'job="$job", partition=~"$partition"'


def by_partition(metric: str, *, by: str = PARTITIONS) -> str:
    """Return a gauge by partition. A partition that moves is told by two workers for a scrape."""
    return f"max by (partition) ({metric}{{{by}}})"


def sum_of_partitions(metric: str, *, by: str = PARTITIONS) -> str:
    """Return the sum of a gauge, each partition counted once."""
    return f"sum({by_partition(metric, by=by)})"


def attended_or_not(gauge: str, *, by: str = PARTITIONS) -> str:
    """Return a gauge by partition: as who reads it tells it, else as others tell it.

    Without the others a killed worker's partitions would be missing, and lag would seem to fall.
    They look twice before they tell: until then what was told last stands, for two scrapes.
    """
    unattended = gauge.replace("tailstream_", "tailstream_unattended_", 1)
    last = f"max by (partition) (last_over_time({gauge}{{{by}}}[{TOLD_LAST}]))"
    return f"{by_partition(gauge, by=by)} or {by_partition(unattended, by=by)} or {last}"


def rate(counter: str, *, by: str = FLEET, labels: str = "") -> str:
    """Return the sum of a counter's rates, of each combination of these labels."""
    grouping = f" by ({labels}) " if labels else ""
    return f"sum{grouping}(rate({counter}{{{by}}}[$__rate_interval]))"


def quantile(share: float, histogram: str, *, by: str = FLEET, labels: str = "") -> str:
    """Return a quantile of all workers' observations together."""
    grouping = ", ".join(filter(None, ("le", labels)))
    buckets = f"rate({histogram}_bucket{{{by}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({grouping}) ({buckets}))"
