"""One partition of the input that this worker owns: its sampler, and how its cuts are delivered."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from stream import compiled
from stream.kafka.commit import PartitionCommit, Produce
from stream.kafka.dead_letters import dead_letter
from stream.kafka.log_state import Identity
from stream.otlp.fragment import BadSpans, DeadLetterReason
from stream.otlp.merge import Merged, merge
from stream.otlp.stamp import Stamp
from stream.otlp.tracestate import randomness_of
from stream.sampling.decision import PROMOTIONS, Decision, Verdict, encode
from stream.sampling.delivery import DeadLetter, Delivery, Settled, Undelivered
from stream.sampling.pins import HeldPin
from stream.sampling.record import Record
from stream.sampling.stores import DecisionStore, KnownDecision, SpanStore
from stream.sampling.tail_sampler import TailSampler
from stream.worker import hints
from stream.worker.decision_log import DecisionLog
from stream.worker.hints import Hints

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling._decision import Context
    from stream.worker import _plan as in_c


@dataclass(frozen=True, slots=True)
class Delivering:
    """Where deliveries go and what they look like: what the plan needs of the configuration.

    Sizes are in bytes of a record's value. `config` is the hash of the policies. `independent`:
    shares are chosen independently of other samplers (`Stamp`).
    """

    input_topic: str
    output_topic: str
    decisions_topic: str
    dead_letters_topic: str
    output_bytes_max: int
    dead_letter_bytes_max: int
    stamp: Literal["spans", "root", "none"]
    config: str
    independent: bool = False


@dataclass(slots=True, kw_only=True)
class PartitionPlan(PartitionCommit):
    """One partition's share of a transaction, and what becomes of it here when it commits.

    `body_bytes` are those of its deliveries.
    """

    owner: "Partition"
    decisions_from: int
    settled: list[Settled] = field(default_factory=list)
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Poll:
    records: Sequence[Record]
    wall_ms: int | None
    folded: Callable[[], None]


class Partition:
    """Plans what the sampler has cut as records to produce and an offset to commit.

    Records of the input below `replay_upto` were read before, by whoever had the partition then.
    """

    def __init__(
        self,
        number: int,
        sampler: TailSampler,
        *,
        spans: SpanStore,
        decisions: DecisionStore,
        delivering: Delivering,
        identity: Identity,
        log: DecisionLog,
        retention_ms: int,
        span_ids_bytes_max: int,
    ) -> None:
        self.number = number
        self.sampler = sampler
        self.replay_upto = 0
        self._spans = spans
        self._decisions = decisions
        self._delivering = delivering
        self._identity = identity
        self._decisions_topic, self._config = delivering.decisions_topic, delivering.config
        self._topic_id, self._group = identity.topic_id, identity.group
        self._log = log
        self._restore_levels()
        self._retention_ms = retention_ms
        self._span_ids_bytes_max = span_ids_bytes_max
        self._renderer = self._in_c() if compiled.RUNS else None
        self._committed: tuple[int, int] | None = None
        self._waiting: deque[_Poll] = deque()

    @property
    def catching_up(self) -> bool:
        """Return whether cuts are held, or records that waited for them are not folded yet."""
        return self.sampler.cuts_held or bool(self._waiting)

    def fold(
        self, records: Sequence[Record], *, wall_ms: int | None, folded: Callable[[], None]
    ) -> None:
        """Fold a poll's records and call `folded`; later, where they may cut and must not yet."""
        poll = _Poll(records, wall_ms, folded)
        if self._waiting or not self._fold(poll):
            self._waiting.append(poll)

    def catch_up(self) -> bool:
        """Fold one poll that has waited; False if there is none, or cuts are still held."""
        if self.sampler.cuts_held or not self._waiting:
            return False
        return self._fold(self._waiting.popleft())

    @property
    def changed(self) -> bool:
        """Return whether a transaction would say anything new of this partition."""
        sampler = self.sampler
        if sampler.cuts_held:
            # What a commit must say of the decisions is known only when all have been read.
            return False
        return sampler.undelivered > 0 or self._committed != (
            sampler.resume()[0],
            sampler.position,
        )

    @property
    def replay_remaining(self) -> int:
        """How many offsets of the input were read before and are still to be read again."""
        return max(0, self.replay_upto - self.sampler.position)

    @property
    def replay_debt(self) -> int:
        """How many offsets a crash now would have to read again."""
        return max(self.replay_upto, self.sampler.position) - self.sampler.resume()[0]

    def learn(self, decisions: Sequence[tuple[bytes, KnownDecision]]) -> None:
        """Take decisions of the second phase of a restore, each (trace id, decision)."""
        self.sampler.learn(decisions)

    def whole(self, older: DecisionLog, pins: Sequence[tuple[bytes, HeldPin]] = ()) -> None:
        """The older decisions have been learnt too: from now on it cuts and delivers.

        `pins` are those that are as old, each (trace id, pin).
        """
        self.sampler.restore_pins(pins)
        self._log.put_before(older)
        self._restore_levels()
        self.sampler.cuts_held = False

    def plan(self, *, count_max: int, bytes_max: int) -> PartitionPlan:
        """Detach the next deliveries and say what to produce and commit for them."""
        taken = self.sampler.take(count_max=count_max, bytes_max=bytes_max) if count_max else []
        offset, time_ms = self.sampler.resume()
        decisions_from = self._log.needed_from(
            # Late spans in the replay ask for decisions that were young at the resume offset.
            resume_offset=offset,
            retained_from_ms=time_ms - self._retention_ms,
        )
        metadata = hints.encode(
            Hints(
                offset=offset,
                time_ms=time_ms,
                position=self.sampler.position,
                decisions_next=self._log.next_offset,
                decisions_from=decisions_from,
                replay_from=self._log.replay_from(offset),
                dead_letters_upto=self.sampler.dead_letters_upto,
            ),
            self._identity,
        )
        plan = PartitionPlan(
            partition=self.number,
            resume_offset=offset,
            metadata=metadata,
            position=self.sampler.position,
            times=hints.encode_times(self.sampler.time_ms, time_ms),
            owner=self,
            decisions_from=decisions_from,
        )
        if self._renderer is not None:
            self._renderer.render(taken, plan)
            return plan
        seen: dict[bytes, tuple[bytes, bool]] = {}
        for delivery in taken:
            plan.settled.append(self._render(delivery, plan.records, seen))
            plan.body_bytes += delivery.body_bytes
        return plan

    def committed(self, plan: PartitionPlan, *, decisions_end: int | None) -> None:
        """The transaction holding this plan committed.

        `decisions_end` is the offset after its last decision record, None if it wrote none.
        """
        self._committed = (plan.resume_offset, plan.position)
        self._remember(plan.settled)
        if decisions_end is not None:
            self._log.advance(decisions_end)
        self._log.forget_below(plan.decisions_from)
        self.sampler.settle(plan.settled)

    def stamp_of(self, decision: Decision) -> Stamp:
        """Return what the spans of a decision are stamped with."""
        return Stamp(
            self._delivering.stamp,
            decision.policy,
            decision.trigger.value,
            decision.threshold,
            self._delivering.independent,
            randomness_of(decision.trace_id),
        )

    def aborted(self) -> None:
        """Nothing of the plan happened."""
        self.sampler.put_back()

    def release(self) -> None:
        """Another worker takes over. Whoever opened the stores closes them."""
        self.sampler.release()
        while self._waiting:
            self._waiting.popleft().folded()

    def held_bytes(self) -> dict[str, int]:
        """Bytes held by place."""
        held = dict(self._spans.held_bytes())
        for place, size in self._decisions.held_bytes().items():
            held[place] = held.get(place, 0) + size
        return held

    def _restore_levels(self) -> None:
        """Let the limits go on from the last decision; levels of other policies mean nothing."""
        if self._log.levels is not None and self._log.levels[0] == self._config:
            self.sampler.restore_levels(self._log.levels[1])

    def _in_c(self) -> "in_c.Renderer":
        context = Context(self._config, self._topic_id, self._group)
        return in_c.Renderer(self, self._spans, self._delivering, context, self._span_ids_bytes_max)

    def _remember(self, settled: list[Settled]) -> None:
        if compiled.RUNS:
            in_c.append_all(self._log, settled, self._config)
            return
        for one in settled:
            if isinstance(one.delivered, Delivery):
                decision = one.delivered.decision
                self._log.append(decision)
                self._log.tell_levels(decision.levels, self._config)

    def _fold(self, poll: "_Poll") -> bool:
        """Return whether all of it could be folded. What was, is skipped the next time."""
        self.sampler.fold(poll.records, wall_ms=poll.wall_ms)
        if self.sampler.cuts_held and self.sampler.position <= poll.records[-1].offset:
            return False
        poll.folded()
        return True

    def _render(
        self,
        undelivered: Undelivered,
        records: list[Produce],
        seen: dict[bytes, tuple[bytes, bool]],
    ) -> Settled:
        if isinstance(undelivered, DeadLetter):
            records.append(self._dead_letter(undelivered))
            return Settled(undelivered)
        decision = undelivered.decision
        settled = Settled(undelivered)
        if decision.verdict is Verdict.SAMPLED:
            self._render_spans(undelivered, settled, records, seen)
        records.append(self._decision_record(undelivered))
        return settled

    def _render_spans(
        self,
        delivery: Delivery,
        settled: Settled,
        records: list[Produce],
        seen: dict[bytes, tuple[bytes, bool]],
    ) -> None:
        decision = delivery.decision
        before, complete = seen.get(decision.trace_id) or self._delivered_before(delivery)
        merged = self._merge(delivery, self._bodies(decision), before)
        settled.duplicates = merged.duplicates
        settled.dead_lettered = sum(bad.spans for bad in merged.bad)
        span_ids = before + merged.span_ids
        settled.span_ids = span_ids[: self._span_ids_bytes_max]
        settled.span_ids_complete = complete and len(span_ids) <= self._span_ids_bytes_max
        seen[decision.trace_id] = (settled.span_ids, settled.span_ids_complete)
        decision.duplicates = settled.duplicates
        decision.dead_lettered = settled.dead_lettered
        decision.span_ids = settled.span_ids
        decision.span_ids_complete = settled.span_ids_complete
        for part, value in enumerate(merged.parts, start=1):
            record = self._output_record(decision, value, part, len(merged.parts))
            record.headers += delivery.headers
            records.append(record)
        for bad in merged.bad:
            key = decision.trace_id.hex().encode()
            dead = DeadLetter(delivery.first_offset, delivery.opened_ms, bad, key)
            dead.undeliverable = delivery.undeliverable
            records.append(self._dead_letter(dead))

    def _bodies(self, decision: Decision) -> list[bytes]:
        if decision.trigger in PROMOTIONS:
            return self.sampler.promoted_bodies(decision.trace_id)
        return self._spans.get(decision.trace_id, decision.offsets)

    def _merge(self, delivery: Delivery, bodies: list[bytes], seen: bytes) -> Merged:
        decision = delivery.decision
        if delivery.undeliverable:
            # The broker refused it, alone in its transaction: a pointer must do.
            bad = BadSpans(DeadLetterReason.UNDELIVERABLE, decision.spans, b"".join(bodies))
            return Merged([], 0, 0, b"", [bad])
        return merge(bodies, self.stamp_of(decision), self._delivering.output_bytes_max, seen)

    def _delivered_before(self, delivery: Delivery) -> tuple[bytes, bool]:
        known = self._decisions.get(delivery.decision.trace_id) if delivery.late else None
        return (known.span_ids, known.span_ids_complete) if known else (b"", True)

    def _output_record(self, decision: Decision, value: bytes, part: int, parts: int) -> Produce:
        trace_id = decision.trace_id.hex()
        headers = [
            ("tailstream.policy", decision.policy.encode()),
            ("tailstream.trigger", decision.trigger.value.encode()),
            ("tailstream.delivery", f"{trace_id}:{decision.upto}:{part}/{parts}".encode()),
        ]
        return Produce(
            self._delivering.output_topic, self.number, trace_id.encode(), value, headers
        )

    def _decision_record(self, delivery: Delivery) -> Produce:
        decision = delivery.decision
        if self._renderer is not None:
            record = self._renderer.record(delivery)
            if record is not None:
                return record
        key = decision.trace_id.hex().encode()
        value = encode(decision, config=self._config, topic_id=self._topic_id, group=self._group)
        return Produce(self._decisions_topic, self.number, key, value)

    def _dead_letter(self, dead: DeadLetter) -> Produce:
        # What the broker refused, alone in its transaction, is reduced to a pointer.
        bytes_max = 0 if dead.undeliverable else self._delivering.dead_letter_bytes_max
        return dead_letter(
            self._delivering.dead_letters_topic,
            dead.bad.reason,
            (self._delivering.input_topic, self.number, dead.first_offset),
            key=dead.key,
            body=dead.bad.body,
            bytes_max=bytes_max,
        )
