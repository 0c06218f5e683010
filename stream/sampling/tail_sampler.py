"""The tail sampler of one partition: records come in with their time, deliveries come out.

Law 5 lives here: a record first advances the partition time and cuts every trace whose deadline
has passed, in the order (deadline, first offset), and is folded only then. So a verdict depends on
the records below its cut, never on how many of them a poll brought.

Read `fold`, `_cut` (`cutting.py`), `take`, `settle` and `put_back` (transactions); `learn` last.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stream import compiled
from stream.otlp.fragment import Fragment
from stream.sampling.accounting import Accounts
from stream.sampling.deadlines import Deadlines
from stream.sampling.decision import Clock, Decision, Trigger, Verdict
from stream.sampling.delivery import DeadLetter, Settled, Undelivered
from stream.sampling.delivery_queue import DeliveryQueue
from stream.sampling.held_cuts import might_cut
from stream.sampling.late import (
    add_late,
    is_full,
    late_delivery,
    news_to,
    turned_late,
    with_earlier,
)
from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.pinning import Pinning
from stream.sampling.pins import PinsBudget
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.limit import Levels
from stream.sampling.promotions import NO_SECOND_CHANCE, SecondChance
from stream.sampling.record import NO_TIMESTAMP, Record, RecordKind
from stream.sampling.settle import settle
from stream.sampling.stores import DecisionStore, KnownDecision, SpanStore
from stream.sampling.trace import RECORD_BYTES, OpenTrace

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling._fold import fold_rows
    from stream.sampling._rows import Rows


class TailSampler(Pinning):
    """Decides the traces of one partition. Time comes in as an argument; nothing else happens.

    `position` is the next offset to fold, `time_ms` the partition time: both start where the
    resume offset says. `dead_letters_upto`: dead letters below this offset have been delivered.
    While `cuts_held`, decisions are read that traces may have to follow: nothing may be cut.
    `pins` is shared by the partitions of a worker; `second_chance` says what else promotes traces.
    """

    def __init__(
        self,
        policies: Policies,
        *,
        windows: Windows,
        limits: Limits,
        budget: OpenTracesBudget,
        spans: SpanStore,
        decisions: DecisionStore,
        position: int = 0,
        time_ms: int = 0,
        dead_letters_upto: int = 0,
        pins: PinsBudget | None = None,
        second_chance: SecondChance = NO_SECOND_CHANCE,
    ) -> None:
        self.position = position
        self.time_ms = time_ms
        self.accounts = Accounts()
        self.cuts_held = False
        self.open_bytes = 0
        self._policies = policies = policies.of_partition()
        self._at_ingest, self._custom_root = policies.at_ingest, policies.custom_root
        self._judges_plainly = policies.judges_plainly
        self._judge, self._ask = policies.judge_in_c, policies.ask
        self._windows = windows
        self._limits = limits
        self._budget = budget
        self._spans = spans
        self._in_memory = spans.in_memory
        self._decisions = decisions
        in_memory = decisions.in_memory
        self._known = in_memory and in_memory.by_generation
        self._beyond = in_memory and in_memory.beyond
        self.count_decisions()
        self._dead_letters_upto = dead_letters_upto
        self._open: dict[bytes, OpenTrace] = {}
        self._deadlines = Deadlines()
        self._undelivered = DeliveryQueue()
        self._uncommitted: dict[bytes, Decision] = {}
        self._bodies: list[tuple[bytes, int, bytes]] = []
        self._dropped: set[bytes] = set()
        self._begin_pinning(pins or PinsBudget(), second_chance)
        budget.holders.append(self)

    # Folding

    def fold(self, records: Iterable[Record], *, wall_ms: int | None = None) -> None:
        """Take records in offset order; those below `position` were folded before and are skipped.

        `wall_ms` clamps timestamps that a producer's clock may have set ahead (`CreateTime`); pass
        None where the broker stamps the records. While `cuts_held` it stops before the first
        record that might cut, which `position` shows: fold the same again once they are not held.
        """
        if self.cuts_held and (self._budget.over() or self._spans.lowest_affordable()):
            return
        if compiled.RUNS and isinstance(records, Rows):
            fold_rows(self, records, wall_ms)
        else:
            for record in records:
                if record.offset >= self.position and not self._fold_record(record, wall_ms):
                    break
        self._store_bodies()
        self._keep_limits()

    def idle(self, *, wall_ms: int, position: int) -> None:
        """Nothing lies between `position` and the end of the partition: let the wall clock cut.

        It makes traces due at their deadline + `idle_grace`, and never raises the partition time.
        """
        self.position = max(self.position, position)
        self._cut_due(wall_ms - self._windows.idle_grace_ms, Clock.WALL)

    def due_by(self, wall_ms: int) -> bool:
        """Return whether the wall clock would cut something now, were the partition idle."""
        next_ms = self._deadlines.next_ms()
        return next_ms is not None and next_ms <= wall_ms - self._windows.idle_grace_ms

    def _fold_record(self, record: Record, wall_ms: int | None) -> bool:
        """Return False, with nothing done, where it might cut and must not."""
        if self.cuts_held and self._might_cut(record, wall_ms):
            return False
        self._advance(record, wall_ms)
        self.position = record.offset + 1
        if record.kind is not RecordKind.SPANS:
            self.accounts.records[record.kind.value] += 1
        if record.pin is not None:
            self._pin(record.pin, record.offset)
        for fragment in record.fragments:
            self._fold_fragment(fragment, record)
        for bad in record.bad:
            self._reject(DeadLetter(record.offset, self.time_ms, bad, record.key))
        return True

    def _advance(self, record: Record, wall_ms: int | None) -> None:
        timestamp_ms = record.timestamp_ms
        if timestamp_ms == NO_TIMESTAMP or timestamp_ms <= self.time_ms:
            return
        if wall_ms is not None and timestamp_ms > wall_ms:
            self.accounts.records["clamped"] += 1
            timestamp_ms = max(wall_ms, self.time_ms)
        self.time_ms = timestamp_ms
        # `position` is still the offset after the last folded record; a gap of markers or aborted
        # records before this one holds no span, so this record's offset is the cut.
        self.position = record.offset
        self._cut_due(timestamp_ms, Clock.LOG)

    def _fold_fragment(self, fragment: Fragment, record: Record) -> None:
        offset = record.offset
        trace_id = fragment.trace_id
        trace = self._open.get(trace_id)
        if trace is None:
            # Only here, for a trace that is open has no decision.
            known = self._uncommitted.get(trace_id) or self._decisions.get(trace_id)
            if known is not None:
                self._follow(known, fragment, record)
                return
            trace = self._opened(trace_id, offset)
        self.accounts.received += fragment.spans
        if self._custom_root:
            fragment.root = bool(fragment.bits & 1)
        had_root = trace.root
        trace.fold(fragment, offset)
        trace.last_ms = self.time_ms
        kept_bytes = self._keep(trace, fragment, record)
        trace.held_bytes += kept_bytes
        self.open_bytes += kept_bytes + RECORD_BYTES
        if self._policies.too_large(trace.body_bytes):
            self._limit(trace, Trigger.TRACE_BYTES_LIMIT, "maximum_trace_size_bytes")
        elif self._at_ingest and (judged := self._policies.judge_ingest(fragment, trace.spans)):
            self._cut(trace, Trigger.SPAN_INGEST, Clock.LOG, upto=self.position, judged=judged)
        elif trace.spans >= self._limits.trace_spans_max:
            self._limit(trace, Trigger.SPAN_LIMIT, "trace_spans_max")
        elif trace.body_bytes >= self._limits.trace_bytes_max:
            self._limit(trace, Trigger.TRACE_BYTES_LIMIT, "trace_bytes_max")
        elif trace.root and not had_root and self._windows.decision_wait_after_root_ms:
            self._hasten(trace)

    def _opened(self, trace_id: bytes, offset: int) -> OpenTrace:
        deadline_ms = self.time_ms + self._windows.decision_wait_ms
        trace = OpenTrace(trace_id, offset, self.time_ms, deadline_ms)
        self._open[trace_id] = trace
        self.open_bytes += trace.held_bytes
        self._deadlines.schedule(trace)
        self._budget.used += 1
        if self._budget.used > self._budget.limit:
            # The named exception to law 5: which trace is the oldest depends on the assignment.
            oldest = self._oldest()
            if oldest is not None and oldest is not trace:
                # A record of several traces may hold a fragment of it, folded or still to come.
                folded = oldest.offsets[-1] == offset
                self._limit(oldest, Trigger.OVERLOAD, "open_traces_max", upto=offset + folded)
        if self._pins:
            self._opened_pinned(trace)
        return trace

    def _hasten(self, trace: OpenTrace) -> None:
        deadline_ms = self.time_ms + self._windows.decision_wait_after_root_ms
        if deadline_ms < trace.deadline_ms:
            trace.deadline_ms = deadline_ms
            self._deadlines.hasten(trace)

    def _follow(self, known: KnownDecision | Decision, fragment: Fragment, record: Record) -> None:
        """A decision stands: below its `upto` this is a replay, above it a late fragment."""
        offset = record.offset
        if offset < known.upto:
            self.accounts.replayed += fragment.spans
            return
        promotion = None
        if known.verdict is Verdict.NOT_SAMPLED:
            promotion = self._promotion_of(known, fragment, offset)
        self.accounts.received += fragment.spans
        if promotion is not None:
            if promotion.delivery is None:
                self._wait_behind(promotion, fragment, record)
                return
            known = promotion.known
        late = self._undelivered.last_late(fragment.trace_id)
        if (
            late is None
            or is_full(late, self._limits)
            # A promotion is whole. Verdicts differ behind one that is in flight, or where the first
            # one was forgotten while its late spans waited.
            or late.decision.trigger is not Trigger.LATE
            or late.decision.verdict != known.verdict
        ):
            late = late_delivery(known, fragment.trace_id, offset, self.time_ms)
            self._undelivered.append_late(late)
        add_late(late, fragment, offset, self.time_ms)
        held_bytes = RECORD_BYTES
        if known.verdict is Verdict.SAMPLED:
            held_bytes += self._keep(late, fragment, record)
        self._undelivered.grow(late, held_bytes)

    def _reject(self, dead_letter: DeadLetter) -> None:
        if dead_letter.first_offset < self._dead_letters_upto:
            self.accounts.replayed += dead_letter.bad.spans
            return
        self.accounts.received += dead_letter.bad.spans
        self._undelivered.append(dead_letter)

    # Limits that the partitions of a worker share

    def count_decisions(self) -> None:
        """See `Holder`; what another partition puts may spill them."""
        self.decisions_bytes = self._decisions.held_bytes()["memory"]

    @property
    def undelivered_bytes(self) -> int:
        """Bytes in memory of what is decided and not delivered, its bodies apart."""
        return self._undelivered.held_bytes + self._promotions.behind_bytes

    def cut_to(self, open_bytes_max: int) -> None:
        """Decide the oldest open traces early, until those left take so many bytes."""
        while self.open_bytes > open_bytes_max and not self.cuts_held:
            oldest = self._oldest()
            assert oldest is not None, "no trace is open, and they take memory"
            self._limit(oldest, Trigger.OVERLOAD, "storage_memory")

    def _keep_limits(self) -> None:
        # As the limit on open traces, exceptions to law 5: they depend on the assignment.
        if self.cuts_held:
            return
        lowest = self._spans.lowest_affordable()
        while (oldest := self._oldest()) is not None and oldest.first_offset < lowest:
            self._limit(oldest, Trigger.DISK_LIMIT, "storage_disk")
        self._budget.keep()

    def _oldest(self) -> OpenTrace | None:
        return self._deadlines.oldest(self._open)

    # Delivering

    def take(self, *, count_max: int, bytes_max: int) -> list[Undelivered]:
        """Detach what is next to be delivered: see `DeliveryQueue.take`."""
        return self._undelivered.take(count_max=count_max, bytes_max=bytes_max)

    def settle(self, settled: Sequence[Settled]) -> None:
        """The transaction committed: remember the decisions, forget the bodies, count."""
        taken = self._undelivered.settle()
        assert [one.delivered for one in settled] == taken, "settled is what was taken"
        decided, late_dropped = settle(settled, self.accounts, self._spans, self._uncommitted)
        self._decisions.put(decided)
        for trace_id, known in late_dropped:
            earlier = self._decisions.get(trace_id)
            self._decisions.put([(trace_id, with_earlier(earlier, known))])
        self._promotions.settle(settled)
        self._expire_pins()
        resume_offset, resume_ms = self.resume()
        self._spans.discard_below(resume_offset)
        self._deadlines.forget_stale(self._open)
        # As old as they are there: late spans that wait for a transaction still need theirs.
        self._decisions.expire(resume_ms - self._windows.decision_retention_ms, resume_offset)
        self.count_decisions()

    def put_back(self) -> None:
        """The transaction was aborted: the deliveries come again; verdicts and cuts stand."""
        self._undelivered.put_back()

    def resume(self) -> tuple[int, int]:
        """Return the resume offset and the partition time there.

        The first record still undecided or undelivered; what is in flight counts as delivered, for
        the offset is committed with it.
        """
        resume = (self.position, self.time_ms)
        if (oldest := self._oldest()) is not None:
            resume = min(resume, (oldest.first_offset, oldest.opened_ms))
        for waiting in (self._undelivered.oldest(), self._promotions.oldest()):
            resume = resume if waiting is None else min(resume, waiting)
        return resume

    @property
    def dead_letters_upto(self) -> int:
        """Every dead letter below this offset has been delivered, or is in flight."""
        pending = self._undelivered.oldest_dead_letter()
        # A replay begins below what was delivered before it.
        return max(self._dead_letters_upto, self.position if pending is None else pending)

    @property
    def open_traces(self) -> int:
        """How many traces are undecided."""
        return len(self._open)

    @property
    def open_spans(self) -> int:
        """Spans received that no committed outcome accounts for yet."""
        return self.accounts.received - self.accounts.accounted

    @property
    def undelivered(self) -> int:
        """How many deliveries wait for a transaction."""
        return len(self._undelivered)

    @property
    def oldest_opened_ms(self) -> int | None:
        """Partition time at which the oldest open trace was opened, None without one."""
        return None if (oldest := self._oldest()) is None else oldest.opened_ms

    # After a restore

    def restore_levels(self, levels: Levels) -> None:
        """Let the limits go on from where the last decision left them; before any cut."""
        self._policies.restore(levels)

    def learn(self, decisions: Sequence[tuple[bytes, KnownDecision]]) -> None:
        """Remember decisions below the resume offset, each (trace id, decision), while cuts wait.

        A trace that opened because its decision was not known turns into what its fragments are:
        the late delivery that `_follow` would have made of them.
        """
        assert self.cuts_held, "what is cut was judged without these"
        news = news_to(self._decisions, decisions)
        for trace_id, known in news.items():
            if (trace := self._open.pop(trace_id, None)) is not None:
                self._budget.used -= 1
                self.open_bytes -= trace.held_bytes
                late = turned_late(trace, known, bodies_spill=self._budget.bodies_spill)
                self._undelivered.append_late(late)
                if known.verdict is Verdict.NOT_SAMPLED:
                    self._spans.delete(trace_id, trace.offsets)
        self._decisions.put(list(news.items()))
        self.count_decisions()

    def _might_cut(self, record: Record, wall_ms: int | None) -> bool:
        stamp_ms = record.timestamp_ms if wall_ms is None else min(record.timestamp_ms, wall_ms)
        next_ms = self._deadlines.next_ms()
        if next_ms is not None and next_ms <= max(self.time_ms, stamp_ms):
            return True
        if (self._at_ingest or self._late_promotes) and record.fragments:
            return True
        if record.pin is not None:
            # Whether its trace has a decision is known only when all have been read.
            return True
        return might_cut(record, self._open, self._limits, self._budget, self._policies.too_large)

    def release(self) -> None:
        """Another worker takes over: what is open here is counted as released."""
        self.accounts.released += self.open_spans
        self._budget.used -= len(self._open)
        self._open.clear()
        self._undelivered.clear()
        self._uncommitted.clear()
        self._end_pinning()
        self.open_bytes = self.decisions_bytes = 0
        if self in self._budget.holders:
            self._budget.holders.remove(self)
