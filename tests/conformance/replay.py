"""Tailstream's verdicts on a corpus: settings as pasted, and from there on the worker's own way.

The messages are records of one partition with times of their own: the early ones at one instant,
the late ones `LATE_MS` after it, and at last a record that passes every deadline.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, TracesData

from stream.kafka.partitioner import PARTITIONERS
from stream.kafka.receive import Receiver
from stream.sampling.decision import Verdict
from stream.sampling.delivery import Delivery, Settled
from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.matcher import Matcher
from stream.sampling.record import Record, RecordKind
from stream.sampling.tail_sampler import TailSampler
from stream.settings.compiled import policies_of
from stream.settings.load import load
from stream.settings.model import Settings
from stream.state.memory import MemoryDecisionStore, MemorySpanStore
from tests.conformance.configurations import Block, Configuration
from tests.conformance.corpus import corpus

LATE_MS: Final = 14_000
END_MS: Final = 10 * 60_000
POLL_RECORDS: Final = 300
TOPIC: Final = "spans"


def settings_of(block: Block, compatibility: str, directory: Path) -> Settings:
    """Return the settings of a Collector's file with this block, as `--config` reads it.

    Raises:
        SettingsError: they are refused.
    """
    file = directory / "collector.yaml"
    file.write_text(yaml.safe_dump({"processors": {"tail_sampling": block}}, allow_unicode=True))
    return load(file, [f"compatibility={compatibility}"], {})


def replay(configuration: Configuration, settings: Settings) -> list[str]:
    """Return which policy keeps each trace, "" where none does."""
    matcher = Matcher()
    sampler = _sampler(settings, matcher)
    receiver = Receiver(matcher.plan(), PARTITIONERS["fnv1a"])
    records = _records(configuration)
    while poll := list(itertools.islice(records, POLL_RECORDS)):
        (batch,) = receiver.receive(poll, {0: 1}, [])
        sampler.fold(batch.records)
    sampler.fold([Record(sampler.position, END_MS, RecordKind.SKIPPED)])
    kept = _kept(sampler)
    trace_ids = corpus(configuration.corpus).trace_ids
    assert kept.keys() == set(trace_ids), "each trace is decided, once, and no other"
    return [kept[trace_id] for trace_id in trace_ids]


def _sampler(settings: Settings, matcher: Matcher) -> TailSampler:
    sampling = settings.tail_sampling
    return TailSampler(
        policies_of(sampling, matcher, as_collector=settings.as_collector),
        windows=Windows(
            decision_wait_ms=round(sampling.decision_wait_s * 1000),
            decision_wait_after_root_ms=round(sampling.decision_wait_after_root_received_s * 1000),
        ),
        limits=Limits(),
        budget=OpenTracesBudget(),
        spans=MemorySpanStore(),
        decisions=MemoryDecisionStore(),
    )


def _records(configuration: Configuration) -> Iterator[Message]:
    step_ms = int(configuration.replay == "spread")
    early, late = _bodies(configuration.corpus, configuration.replay)
    offset = 0
    for begin_ms, bodies in ((1, early), (LATE_MS, late)):
        for number, body in enumerate(bodies):
            timestamp = (TIMESTAMP_LOG_APPEND_TIME, begin_ms + step_ms * number)
            yield Message(topic=TOPIC, partition=0, offset=offset, value=body, timestamp=timestamp)
            offset += 1


@cache
def _bodies(name: str, frame: str) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return the records of a corpus, early ones and late ones."""
    source, reframe = corpus(name), FRAMES[frame]
    early, late = (
        tuple(each for message in messages for each in reframe(message))
        for messages in (source.messages, source.late)
    )
    return early, late


def _whole(message: TracesData) -> Iterator[bytes]:
    """One record a message."""
    yield message.SerializeToString()


def _one_resource(message: TracesData) -> Iterator[bytes]:
    """One record for each resource: at ingest the Collector judges those of a request singly."""
    for group in message.resource_spans:
        yield TracesData(resource_spans=[group]).SerializeToString()


def _one_trace(message: TracesData) -> Iterator[bytes]:
    """One record for each trace, so that no two have the same time: a limit has then recovered."""
    ids = dict.fromkeys(
        span.trace_id
        for group in message.resource_spans
        for scope_spans in group.scope_spans
        for span in scope_spans.spans
    )
    for trace_id in ids:
        groups = [_of_trace(group, trace_id) for group in message.resource_spans]
        whole = [group for group in groups if group.scope_spans]
        yield TracesData(resource_spans=whole).SerializeToString()


def _of_trace(group: ResourceSpans, trace_id: bytes) -> ResourceSpans:
    found = ResourceSpans()
    if group.HasField("resource"):
        found.resource.CopyFrom(group.resource)
    for scope_spans in group.scope_spans:
        spans = [span for span in scope_spans.spans if span.trace_id == trace_id]
        if spans:
            scope = scope_spans.scope if scope_spans.HasField("scope") else None
            found.scope_spans.append(ScopeSpans(scope=scope, spans=spans))
    return found


FRAMES: Final[Mapping[str, Callable[[TracesData], Iterable[bytes]]]] = MappingProxyType(
    {"": _whole, "one_resource": _one_resource, "spread": _one_trace}
)
"""How a message becomes records; `spread`: also a millisecond from one to the next."""


def _kept(sampler: TailSampler) -> dict[bytes, str]:
    kept: dict[bytes, str] = {}
    while sampler.undelivered:
        taken = sampler.take(count_max=sampler.undelivered, bytes_max=1 << 62)
        for delivery in taken:
            assert isinstance(delivery, Delivery), delivery
            if not delivery.late:
                decision = delivery.decision
                assert decision.trace_id not in kept
                sampled = decision.verdict is Verdict.SAMPLED
                kept[decision.trace_id] = decision.policy if sampled else ""
        sampler.settle([Settled(one) for one in taken])
    return kept
