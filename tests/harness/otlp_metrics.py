"""OTLP metrics with exemplars, made with the official classes, as protobuf and as OTLP/JSON."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, MetricsData

KINDS = ("gauge", "sum", "histogram", "exponential_histogram")
NS_OF_MS = 1_000_000

Shown = tuple[bytes, int]
"""A trace id, and when it was measured in Unix milliseconds; 0: it does not say."""


def metrics_of(points: Sequence[tuple[str, Sequence[Shown]]]) -> MetricsData:
    """Return a message with a metric for each (kind, exemplars), of one data point."""
    message = MetricsData()
    resource = message.resource_metrics.add()
    attribute = resource.resource.attributes.add(key="service.name")
    attribute.value.string_value = "shop"
    scope = resource.scope_metrics.add()
    for number, (kind, shown) in enumerate(points):
        add_point(scope.metrics.add(name=f"metric.{number}", unit="s"), kind, shown)
    return message


def add_point(metric: Metric, kind: str, shown: Sequence[Shown]) -> None:
    point = getattr(metric, kind).data_points.add(time_unix_nano=1_790_000_000_000_000_000)
    attribute = point.attributes.add(key="http.route")
    attribute.value.string_value = "/orders/{id}"
    if kind == "histogram":
        point.explicit_bounds.extend([0.1, 1.0, 2.5])
        point.bucket_counts.extend([1, 2, 3, 4])
    for trace_id, time_ms in shown:
        exemplar = point.exemplars.add(as_double=1.5, span_id=b"12345678", trace_id=trace_id)
        exemplar.time_unix_nano = time_ms * NS_OF_MS


def one_point(*trace_ids: bytes, kind: str = "histogram", time_ms: int = 0) -> bytes:
    """Return a record with these exemplars, as protobuf."""
    return metrics_of([(kind, [(trace_id, time_ms) for trace_id in trace_ids])]).SerializeToString()


def as_json(message: MetricsData) -> bytes:
    """Return a message as OTLP/JSON: ids in hexadecimal, enums as numbers."""
    tree = json_format.MessageToDict(message, use_integers_for_enums=True)
    _ids_to_hex(tree)
    return json.dumps(tree).encode()


ENCODINGS: dict[str, Callable[[MetricsData], bytes]] = {
    "protobuf": MetricsData.SerializeToString,
    "json": as_json,
}


def _ids_to_hex(tree: Any) -> None:
    for value in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(value, dict | list):
            _ids_to_hex(value)
    if isinstance(tree, dict):
        for name in {"traceId", "spanId"} & tree.keys():
            tree[name] = base64.b64decode(tree[name]).hex()
