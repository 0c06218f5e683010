"""Samplers, partitions and their records in a line each: what a test of the core begins with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream import compiled
from stream.kafka.log_state import Identity
from stream.otlp.scan import ScanPlan, scan
from stream.sampling.control import Pin
from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.matcher import Matcher
from stream.sampling.pins import PinsBudget
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.latency import Latency
from stream.sampling.policies.policy import Policy
from stream.sampling.policies.probabilistic import Probabilistic
from stream.sampling.policies.status_code import StatusCode
from stream.sampling.promotions import NO_SECOND_CHANCE, SecondChance
from stream.sampling.record import Record, RecordKind
from stream.sampling.stores import DecisionStore, SpanStore
from stream.sampling.tail_sampler import TailSampler
from stream.state.memory import MemoryDecisionStore, MemorySpanStore
from stream.testing.spans import a_trace, trace_id_of, traces_data
from stream.worker.decision_log import DecisionLog
from stream.worker.partition import Delivering, Partition
from stream.worker.restore import Restore, ResumePoint

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling._fold import rows_of

SLOW_MS = 1_000
IDENTITY = Identity("cluster", "topic-1")


@dataclass(frozen=True)
class Rules:
    """What judges traces: keeps those with an error, those above `SLOW_MS`, and a share by id."""

    policies: Policies
    plan: ScanPlan


def rules(sampling_percentage: float = 0) -> Rules:
    """Return policies `errors`, `slow` and, above 0 %, `rest`, and what the scanner looks for."""
    matcher = Matcher()
    chosen: list[Policy] = [StatusCode("errors", ["ERROR"], matcher), Latency("slow", SLOW_MS)]
    if sampling_percentage:
        chosen.append(Probabilistic("rest", sampling_percentage))
    return Rules(Policies(chosen), matcher.plan())


RULES = rules()


def a_record(
    offset: int, timestamp_ms: int, *traces: Iterable[Span], rules: Rules = RULES
) -> Record:
    """Return a scanned record that holds these traces' spans."""
    return scanned(offset, timestamp_ms, traces_data(*traces), rules=rules)


def an_error(trace: int, *, first_span: int = 1, spans: int = 1) -> list[Span]:
    """Return spans of a trace that the policies keep."""
    return a_trace(trace, spans=spans, first_span=first_span, error=True)


def an_ordinary(trace: int, *, first_span: int = 1, spans: int = 1) -> list[Span]:
    """Return spans of a trace that no policy keeps, but the share by id."""
    return a_trace(trace, spans=spans, first_span=first_span)


def a_bad_record(offset: int, timestamp_ms: int, value: bytes = b"\xff no OTLP") -> Record:
    """Return a record that cannot be decoded."""
    return scanned(offset, timestamp_ms, value)


def a_pin(
    offset: int, timestamp_ms: int, trace: int, *, ttl_ms: int = 1_000, source: str = "test"
) -> Record:
    """Return a control record that pins a trace."""
    pin = Pin(trace_id_of(trace), ttl_ms, source)
    return Record(offset, timestamp_ms, RecordKind.CONTROL, key=pin.key, pin=pin)


def a_tick(offset: int, timestamp_ms: int) -> Record:
    """Return a record that holds no span: it moves the time."""
    return Record(offset, timestamp_ms, RecordKind.SKIPPED)


def scanned(
    offset: int, timestamp_ms: int, value: bytes, *, key: bytes | None = None, rules: Rules = RULES
) -> Record:
    """Return a record of this value, scanned as the worker scans it."""
    found = scan(value, rules.plan)
    return Record(
        offset, timestamp_ms, fragments=found.fragments, bad=found.bad, key=key or b"a key"
    )


@dataclass(frozen=True)
class Core:
    """The settings of a worker's partitions, and how one is put together."""

    windows: Windows = field(default_factory=lambda: Windows(decision_wait_ms=30))
    limits: Limits = field(default_factory=Limits)
    rules: Rules = RULES
    output_bytes_max: int = 1_000_000
    dead_letter_bytes_max: int = 1_000_000
    identity: Identity = IDENTITY
    config: str = "c0ffee"
    second_chance: SecondChance = NO_SECOND_CHANCE

    def sampler(
        self,
        *,
        spans: SpanStore | None = None,
        decisions: DecisionStore | None = None,
        budget: OpenTracesBudget | None = None,
        point: ResumePoint | None = None,
        pins: PinsBudget | None = None,
    ) -> TailSampler:
        """Return a sampler; without a resume point at offset 0 and time 0, stores in memory."""
        return TailSampler(
            self.rules.policies,
            windows=self.windows,
            limits=self.limits,
            budget=budget or OpenTracesBudget(),
            spans=spans or MemorySpanStore(),
            decisions=self.decision_store() if decisions is None else decisions,
            position=point.offset if point else 0,
            time_ms=point.time_ms if point else 0,
            dead_letters_upto=point.dead_letters_upto if point else 0,
            pins=pins,
            second_chance=self.second_chance,
        )

    def partition(
        self,
        number: int = 0,
        *,
        spans: SpanStore | None = None,
        decisions: DecisionStore | None = None,
        budget: OpenTracesBudget | None = None,
        pins: PinsBudget | None = None,
        restored: tuple[ResumePoint, Restore] | None = None,
    ) -> Partition:
        """Return a partition; `restored`: where it starts, after `decisions` were restored."""
        spans = spans or MemorySpanStore()
        decisions = self.decision_store() if decisions is None else decisions
        point, restore = restored or (None, None)
        sampler = self.sampler(
            spans=spans, decisions=decisions, budget=budget, point=point, pins=pins
        )
        sampler.restore_pins(list(restore.pins.items()) if restore else ())
        return Partition(
            number,
            sampler,
            spans=spans,
            decisions=decisions,
            delivering=self.delivering(),
            identity=self.identity,
            log=restore.done() if restore else DecisionLog(),
            retention_ms=self.windows.decision_retention_ms,
            span_ids_bytes_max=self.limits.span_ids_bytes_max,
        )

    def decision_store(self) -> DecisionStore:
        """Return an empty decision store in memory."""
        return MemoryDecisionStore(retention_ms=self.windows.decision_retention_ms)

    def delivering(self) -> Delivering:
        """Return where deliveries go: topics `input`, `output`, `decisions`, `dead_letters`."""
        return Delivering(
            input_topic="input",
            output_topic="output",
            decisions_topic="decisions",
            dead_letters_topic="dead_letters",
            output_bytes_max=self.output_bytes_max,
            dead_letter_bytes_max=self.dead_letter_bytes_max,
            stamp="spans",
            config=self.config,
        )


def as_received(records: Sequence[Record], *, words: int = 1) -> Sequence[Record]:
    """Return the records in the form in which the core that runs receives them.

    `words` of 64 bits have room for what their fragments matched.
    """
    return rows_of(records, words) if compiled.RUNS else records


def fold(sampler: TailSampler, records: Sequence[Record], *, poll_records: int = 1_000) -> None:
    """Fold records in polls of so many."""
    for at in range(0, len(records), poll_records):
        sampler.fold(as_received(records[at : at + poll_records]))
