"""`tailstream demo traffic` on a real Kafka: spans, and exemplars that name their traces."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from tests.harness.children import Child
from tests.harness.reading import read_whole
from tests.harness.topics import create_topics, wait_for

pytestmark = pytest.mark.integration

TIMEOUT_S = 90.0


def exemplars(values: list[bytes]) -> Iterator[str]:
    """Yield the trace ids, as hex, of all exemplars in these records of metrics."""
    for value in values:
        for resource in MetricsData.FromString(value).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.histogram.data_points:
                        yield from (each.trace_id.hex() for each in point.exemplars)


def test_the_traffic_goes_on_until_it_is_told_to_stop_and_its_exemplars_name_its_traces(
    kafka: str, tmp_path: Path
) -> None:
    run = uuid4().hex[:8]
    spans, metrics, checkouts = (f"{run}_{name}" for name in ("spans", "metrics", "checkouts"))
    create_topics(kafka, [spans, metrics], partitions=2)
    sets = {"kafka.bootstrap.servers": kafka, "topics.input": spans, "topics.metrics": metrics}
    command = [sys.executable, "-m", "stream.cli", "demo", "traffic", "--rate", "20"]
    command += [
        "--checkouts",
        checkouts,
        *(f"--set={name}={value}" for name, value in sets.items()),
    ]
    child = Child(command, log=tmp_path / "traffic.log", env=dict(os.environ))

    def named() -> set[str]:
        assert child.returncode() is None, child.log_tail()
        return set(exemplars([record.value for record in read_whole(kafka, metrics)]))

    wait_for("exemplars", lambda: bool(named()), timeout_s=TIMEOUT_S)
    wanted = named()
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()
    assert wanted <= {record.key.decode() for record in read_whole(kafka, spans)}
    assert "checkouts: " in child.log_tail()
