"""`make bench EXEMPLARS=1`: what `tailstream exemplars` takes for a data point, without a broker.

From a record's bytes to its exemplars, and on to pins as they are handed to librdkafka. Histograms
of 15 buckets and 4 attributes, 200 points a record, every tenth with an exemplar of a new trace.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, MetricsData
from rich.console import Console

from stream import clock
from stream.exemplars.otlp_metrics import read_metrics
from stream.exemplars.pins import PinRules, Pins
from stream.kafka.control_records import ControlRecords, Target
from stream.kafka.record_producer import RecordProducer
from stream.metrics import EXEMPLARS_DECLARATIONS, Metrics
from tests.bench.figures import figures, markdown, spread
from tests.harness.handed_producer import HandedProducer
from tests.harness.otlp_metrics import as_json

POINTS: Final = 20_000
POINTS_A_RECORD: Final = 200
POINTS_A_METRIC: Final = 10
EXEMPLAR_EVERY: Final = 10
ATTRIBUTES: Final = ("http.request.method", "http.route", "server.address", "url.scheme")
BOUNDS: Final = [0.005 * 2**power for power in range(14)]
Tree = dict[str, Any]


def measure_exemplars(points: int, *, rounds: int, console: Console) -> Tree:
    """Return CPU microseconds a data point by what is done, each over the rounds."""
    messages = [_message(number) for number in range(points // POINTS_A_RECORD)]
    protobuf = [message.SerializeToString() for message in messages]
    ways: dict[str, Callable[[], None]] = {
        "protobuf, read": lambda: _each(read_metrics, protobuf),
        "protobuf, read and pinned": lambda: _pin(protobuf),
        "protobuf, decoded by the official classes": lambda: _each(
            MetricsData.FromString, protobuf
        ),
        "JSON, read": lambda: _each(read_metrics, json_records),
    }
    json_records = [as_json(message) for message in messages]
    seen: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(-1, rounds):  # the first warms up
        for way, run in ways.items():
            began_ns = time.process_time_ns()
            run()
            if number >= 0:
                seen[way].append((time.process_time_ns() - began_ns) / 1_000 / points)
        console.print(f"round {number + 1} of {rounds}" if number >= 0 else "warmed up")
    return {
        "points": points,
        "rounds": rounds,
        "bytes_a_point": round(sum(map(len, protobuf)) / points),
        "us_a_point": {way: figures(each) for way, each in seen.items()},
    }


def table(found: Tree) -> str:
    """Return the costs as Markdown."""
    rows = [[way, spread(each)] for way, each in found["us_a_point"].items()]
    return (
        f"CPU µs a data point of {found['bytes_a_point']} bytes (protobuf), one in "
        f"{EXEMPLAR_EVERY} with an exemplar: median (min-max) of {found['rounds']} rounds over "
        f"{found['points']:,} points.\n\n" + markdown(["", "µs a data point"], rows)
    )


def _each(read: Callable[[bytes], object], records: Sequence[bytes]) -> None:
    for record in records:
        read(record)


def _pin(records: Sequence[bytes]) -> None:
    producer = HandedProducer()
    metrics = Metrics(declarations=EXEMPLARS_DECLARATIONS)
    control = ControlRecords(Target(topic="spans"), cast("RecordProducer", producer))
    rules = PinRules(ttl_ms=600_000, remembered_max=100_000)
    pins = Pins(control, rules, metrics, clock.now_ms)
    for record in records:
        pins.take(read_metrics(record).exemplars, "kafka")
    producer.acknowledge()


def _message(number: int) -> MetricsData:
    message = MetricsData()
    scope = message.resource_metrics.add().scope_metrics.add()
    for place in range(POINTS_A_RECORD):
        if place % POINTS_A_METRIC == 0:
            metric = scope.metrics.add(name="http.server.request.duration", unit="s")
        point = metric.histogram.data_points.add()
        _fill(point)
        if place % EXEMPLAR_EVERY == 0:
            trace = number * POINTS_A_RECORD + place + 1
            point.exemplars.add(
                trace_id=trace.to_bytes(16),
                span_id=b"12345678",
                time_unix_nano=1_790_000_000_000_000_000,
                as_double=0.25,
            )
    return message


def _fill(point: HistogramDataPoint) -> None:
    for name in ATTRIBUTES:
        point.attributes.add(key=name).value.string_value = "GET /orders/{id}"
    point.start_time_unix_nano = point.time_unix_nano = 1_790_000_000_000_000_000
    point.count, point.sum, point.min, point.max = 15, 3.5, 0.01, 2.0
    point.explicit_bounds.extend(BOUNDS)
    point.bucket_counts.extend([1] * (len(BOUNDS) + 1))
