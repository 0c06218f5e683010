"""The exemplars of an OTLP metrics record, protobuf or JSON, of every kind of metric that has some.

https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto
"""

import json
from binascii import unhexlify
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError

from stream.exemplars.exemplar import NO_TRACE, Exemplar
from stream.exemplars.metrics_view import ONE_OF, MetricsView
from stream.otlp.otlp_json import OBJECTS_MAX
from stream.otlp.wire import Malformed, TooLarge

NS_OF_MS: Final = 1_000_000
UINT64_MAX: Final = (1 << 64) - 1
_JSON_KINDS: Final = ("gauge", "sum", "histogram", "exponentialHistogram")


class Reading(NamedTuple):
    """What a record holds: how many data points, and their exemplars."""

    data_points: int
    exemplars: list[Exemplar]


def read_metrics(value: bytes) -> Reading:
    """Return the exemplars of a `MetricsData` or `ExportMetricsServiceRequest`.

    A first byte `{` says that it is OTLP/JSON, whose rules are in `stream/otlp/otlp_json.py`.

    Raises:
        Malformed: whatever is wrong with it; TooLarge if it can have above `OBJECTS_MAX` objects.
    """
    return _of_json(value) if value[:1] == b"{" else _of_protobuf(value)


def _of_protobuf(value: bytes) -> Reading:
    try:
        message = MetricsView.FromString(value)
    except DecodeError as problem:
        raise Malformed(f"not OTLP metrics: {problem}") from None
    data_points = 0
    exemplars: list[Exemplar] = []
    for points in _each_points(message):
        data_points += len(points)
        for point in points:
            for one in point.exemplars:
                time_ns = one.time_unix_nano
                time_ms = time_ns // NS_OF_MS if time_ns else None
                exemplars.append(Exemplar(one.trace_id, time_ms))
    return Reading(data_points, exemplars)


def _each_points(message: Any) -> Iterator[Any]:
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof(ONE_OF)
                if kind is not None:
                    yield getattr(metric, kind).data_points


def _of_json(value: bytes) -> Reading:
    if value.count(b"{") > OBJECTS_MAX:
        raise TooLarge(f"more than {OBJECTS_MAX} objects")
    try:
        points = list(_each_json_point(json.loads(value)))
        exemplars = [_of_json_exemplar(one) for point in points for one in _all(point, "exemplars")]
    except (ValueError, RecursionError) as problem:
        raise Malformed(f"not OTLP/JSON metrics: {problem}") from None
    return Reading(len(points), exemplars)


def _each_json_point(document: Any) -> Iterator[Any]:
    for resource in _all(document, "resourceMetrics"):
        for scope in _all(resource, "scopeMetrics"):
            for metric in _all(scope, "metrics"):
                for kind in _JSON_KINDS:
                    if metric.get(kind) is not None:
                        yield from _all(metric[kind], "dataPoints")


def _all(parent: Any, name: str) -> list[Any]:
    """Return the objects listed under a name; null is an absent list."""
    if not isinstance(parent, dict):
        raise Malformed(f"where an object with {name} should be is none")
    found = parent.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Malformed(f"{name} is not a list of objects")
    return found


def _of_json_exemplar(exemplar: dict[str, Any]) -> Exemplar:
    trace_id, time_ns = exemplar.get("traceId"), exemplar.get("timeUnixNano")
    if not isinstance(trace_id, str | None) or not isinstance(time_ns, str | int | None):
        raise Malformed("an exemplar's traceId or timeUnixNano is no text")
    nanoseconds = int(time_ns or 0)
    time_ms = nanoseconds // NS_OF_MS if 0 < nanoseconds <= UINT64_MAX else None
    try:
        # unhexlify takes either case and, unlike bytes.fromhex, no blanks.
        return Exemplar(unhexlify(trace_id or ""), time_ms)
    except ValueError:
        return Exemplar(NO_TRACE, time_ms)
