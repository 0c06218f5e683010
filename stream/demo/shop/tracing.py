"""One service's OpenTelemetry SDK: its name, its sampler, and its spans on their way to Kafka."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import Tracer

from stream.demo.shop.samplers import AsItsMessage, EachSpanAnew, head_sampler
from stream.demo.shop.service import Service, Setup
from stream.propagation.attributes import SCHEMA_URL
from stream.propagation.export_counts import ExportCounts
from stream.propagation.span_exporter import KafkaSpanExporter, KafkaSpanProcessor

SCOPE = "stream.demo.shop"
EXPORT_EVERY_MS = 200


@dataclass(frozen=True, slots=True)
class Tracing:
    """A service's SDK: `tracer` for its own spans, `provider` for the libraries that it uses."""

    tracer: Tracer
    provider: TracerProvider


@contextmanager
def tracing(setup: Setup, exporter: KafkaSpanExporter) -> Iterator[Tracing]:
    """Run the block with the service's SDK; at its end every span is in Kafka, or counted."""
    provider = provider_of(setup.service, sampler_of(setup))
    provider.add_span_processor(KafkaSpanProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS))
    try:
        yield Tracing(tracer_of(provider), provider)
    finally:
        provider.shutdown()


def provider_of(name: str, sampler: Sampler) -> TracerProvider:
    """Return a provider whose spans carry the service's name, and go nowhere yet."""
    resource = Resource.create({"service.name": name, "service.namespace": "shop"})
    return TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)


def tracer_of(provider: TracerProvider) -> Tracer:
    """Return the tracer of the shop's own spans."""
    return provider.get_tracer(SCOPE, schema_url=SCHEMA_URL)


def sampler_of(setup: Setup) -> Sampler:
    """Return who decides what this service records.

    Traces begin at the gateway and at the consumers; everybody else does as the sampled flag says.
    A batch has messages of many traces: it can do as none of them was done, and is kept always.
    """
    if setup.broken:
        return EachSpanAnew()
    if setup.head_rate is None:
        return ParentBased(ALWAYS_ON)
    if setup.service is Service.LEDGER:
        return ParentBased(AsItsMessage(head_sampler(setup.head_rate)))
    if setup.service is Service.SHIPPING:
        return head_sampler(1.0)
    return head_sampler(setup.head_rate)


def told(counts: ExportCounts) -> dict[str, int]:
    """Return how many spans were exported, and how many were dropped, for the run's account."""
    return {"exported": counts.exported, "dropped": sum(counts.dropped.values())}
