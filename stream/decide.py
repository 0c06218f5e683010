"""Decide on traces without Kafka: the worker's own core, on messages from files.

All traces are decided as if they had come at one instant, spans in file order: one partition, whose
time stands still until the last message is folded, and then passes every deadline.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from stream.otlp.fragment import BadSpans, Fragment
from stream.otlp.scan import scan
from stream.sampling.decision import Decision, Vote
from stream.sampling.delivery import DeadLetter, Settled, Undelivered
from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.matcher import Matcher
from stream.sampling.record import Record
from stream.sampling.tail_sampler import TailSampler
from stream.settings.compiled import policies_of
from stream.settings.model import Settings
from stream.state.memory import MemoryDecisionStore, MemorySpanStore

INSTANT_MS = 0


@dataclass(slots=True)
class Decided:
    """A trace's decision and the policies' votes, in the order they were cast.

    `late_spans` came after a limit had decided the trace.
    """

    decision: Decision
    votes: list[tuple[str, Vote]]
    late_spans: int = 0


@dataclass(slots=True)
class Decisions:
    """What was decided, in the order of the traces' first spans, and what could not be read."""

    traces: list[Decided] = field(default_factory=list)
    bad: list[BadSpans] = field(default_factory=list)


def decide(settings: Settings, messages: Iterable[bytes]) -> Decisions:
    """Decide on the traces of OTLP messages, JSON or protobuf, with the configured policies."""
    matcher = Matcher()
    sampler = _sampler(settings, matcher)
    plan = matcher.plan()
    order: dict[bytes, None] = {}
    for offset, message in enumerate(messages):
        scanned = scan(message, plan)
        order.update(dict.fromkeys(_ids(scanned.fragments)))
        record = Record(offset, INSTANT_MS, fragments=scanned.fragments, bad=scanned.bad)
        sampler.fold([record])
    wait_ms = round(settings.tail_sampling.decision_wait_s * 1000)
    sampler.fold([Record(sampler.position, INSTANT_MS + wait_ms)])
    return _decisions(sampler, order)


def _sampler(settings: Settings, matcher: Matcher) -> TailSampler:
    limits = settings.limits
    return TailSampler(
        policies_of(settings.tail_sampling, matcher, as_collector=settings.as_collector),
        windows=Windows(decision_wait_ms=round(settings.tail_sampling.decision_wait_s * 1000)),
        limits=Limits(
            trace_spans_max=limits.trace_spans_max, trace_bytes_max=limits.trace_bytes_max
        ),
        budget=OpenTracesBudget(limits.open_traces_max),
        spans=MemorySpanStore(),
        decisions=MemoryDecisionStore(),
    )


def _decisions(sampler: TailSampler, order: dict[bytes, None]) -> Decisions:
    found = Decisions()
    traces: dict[bytes, Decided] = {}
    for delivery in _delivered(sampler):
        if isinstance(delivery, DeadLetter):
            found.bad.append(delivery.bad)
        elif delivery.late:
            traces[delivery.decision.trace_id].late_spans += delivery.decision.spans
        else:
            decided = Decided(delivery.decision, list(delivery.votes))
            traces[delivery.decision.trace_id] = decided
    found.traces = [traces[trace_id] for trace_id in order]
    return found


def _delivered(sampler: TailSampler) -> Iterator[Undelivered]:
    while sampler.undelivered:
        taken = sampler.take(count_max=sampler.undelivered, bytes_max=1 << 62)
        yield from taken
        sampler.settle([Settled(one) for one in taken])


def _ids(fragments: Iterable[Fragment]) -> Iterable[bytes]:
    return (fragment.trace_id for fragment in fragments)
