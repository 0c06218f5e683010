"""The gateway's metrics: durations with exemplars, as OpenMetrics text and as OTLP."""

from itertools import pairwise
from typing import Final

from opentelemetry import trace
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    HistogramDataPoint,
    MetricsData,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.samples import Sample

from stream.demo.recall.checkout import Checkout
from stream.demo.shop_shape import INSTANCES
from stream.propagation.exemplars import observe

NAME: Final = "checkout_duration_seconds"
BOUNDS_S: Final = (0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0)
SLOW_BOUND: Final = "2.5"
NS_PER_S = 1_000_000_000


class Application:
    """The replicas of the gateway, each with a series of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._durations = Histogram(
            NAME, "What a checkout took.", ["instance"], registry=self.registry, buckets=BOUNDS_S
        )

    def observe(self, checkout: Checkout) -> None:
        """Observe a checkout inside its root span, as the code that serves it does."""
        context = SpanContext(
            int.from_bytes(checkout.trace_id),
            int.from_bytes(checkout.root_id),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )
        with trace.use_span(NonRecordingSpan(context)):
            instance = str(checkout.trace_id[0] % INSTANCES)
            observe(self._durations.labels(instance), checkout.duration_s)

    def openmetrics(self) -> str:
        """Return what a scrape returns."""
        text: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]  # prometheus-client has no types there
        return text.decode()

    def otlp(self, instance: str, now_ns: int) -> bytes:
        """Return an export of one replica: OTLP `MetricsData` with a histogram."""
        message = MetricsData()
        resource = message.resource_metrics.add()
        for key, value in (("service.name", "gateway"), ("service.instance.id", instance)):
            resource.resource.attributes.add(key=key).value.string_value = value
        metric = resource.scope_metrics.add().metrics.add(name=NAME, unit="s")
        metric.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        point = metric.histogram.data_points.add(time_unix_nano=now_ns)
        self._fill(point, instance)
        return message.SerializeToString()

    def _fill(self, point: HistogramDataPoint, instance: str) -> None:
        samples = [one for one in self._samples() if one.labels["instance"] == instance]
        buckets = [one for one in samples if one.name.endswith("_bucket")]
        below = [0, *(int(one.value) for one in buckets)]
        point.explicit_bounds.extend(BOUNDS_S)
        point.bucket_counts.extend(upto - before for before, upto in pairwise(below))
        point.count = below[-1]
        point.sum = sum(one.value for one in samples if one.name.endswith("_sum"))
        for one in buckets:
            if one.exemplar is not None:
                point.exemplars.add(
                    trace_id=_trace_id(one),
                    span_id=bytes.fromhex(one.exemplar.labels["span_id"]),
                    as_double=one.exemplar.value,
                    time_unix_nano=int(float(one.exemplar.timestamp or 0) * NS_PER_S),
                )

    def _samples(self) -> list[Sample]:
        return [sample for family in self.registry.collect() for sample in family.samples]


def _trace_id(sample: Sample) -> bytes:
    assert sample.exemplar is not None
    return bytes.fromhex(sample.exemplar.labels["trace_id"])
