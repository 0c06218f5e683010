"""The laws that can be held against every single step, and what is excused from the others."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from stream.kafka.log_state import NO_OFFSET
from stream.sampling.decision import PROMOTIONS, Clock, Verdict
from stream.sampling.delivery import DeadLetter, Delivery
from stream.sampling.tail_sampler import TailSampler
from stream.testing.core import IDENTITY
from stream.testing.driver import Driver
from stream.testing.log import DECISIONS, INPUT, Broker
from stream.worker import hints
from stream.worker.partition import Partition
from tests.simulation.published import Published
from tests.simulation.shape import MANY, Shape
from tests.simulation.traffic import GAP, Sent
from tests.simulation.turns import Turns


class LawBrokenError(Exception):
    """A law does not hold."""

    def __init__(self, law: str, how: str) -> None:
        super().__init__(f"{law}: {how}")
        self.law = law


@dataclass(slots=True)
class Excused:
    """What was taken from the workers, so that a law cannot hold for it.

    `lost` are offsets that retention deleted below a start, `forgotten` traces whose decisions were
    deleted while a successor needed them; both by partition.
    """

    lost: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    forgotten: defaultdict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    hints_dropped: bool = False


class Watch:
    """Nothing is passed by that is undecided or undelivered, and no span is without a name."""

    def __init__(
        self,
        broker: Broker,
        arrived: Sequence[dict[int, Sent]],
        *,
        wall: Callable[[], int],
        shape: Shape,
    ) -> None:
        self.excused = Excused()
        self.published = Published(broker)
        self.metadata: defaultdict[int, list[str]] = defaultdict(lambda: [""])
        self._broker = broker
        self._arrived = arrived
        self._wall = wall
        self.shape = shape
        self._resumed: defaultdict[int, int] = defaultdict(int)
        self._owned: dict[Driver, dict[int, Partition]] = {}
        self._turns = Turns(self.broken)
        self.seen: Counter[str] = Counter()

    def entries(self, number: int) -> list[Sent]:
        """Return what a read_committed reader of the input is given, by offset."""
        records = self._broker.topics[INPUT][number].records
        arrived = self._arrived[number]
        return [arrived[record.offset] if record.visible else GAP for record in records]

    def deleted(self, number: int) -> set[int]:
        """Return the offsets of the input that retention has deleted by now."""
        return set(range(self._broker.topics[INPUT][number].start))

    def archive(self, number: int) -> None:
        """The decisions partition is made anew: a restore begins without what it held."""
        traces = {one.trace_id for one in self.published.decisions(number)}
        self.excused.forgotten[number] |= traces
        self.published.forget(number)

    def check(self, drivers: Sequence[Driver]) -> None:
        """Raise if these workers' accounts or a committed offset are wrong."""
        for driver in drivers:
            for partition in {**self._owned.get(driver, {}), **driver.worker.partitions}.values():
                # One that was let go has released what it held.
                open_spans = spans_held(partition.sampler)
                if partition.sampler.open_spans != open_spans:
                    how = f"{partition.sampler.open_spans} spans open, {open_spans} held"
                    self.broken("accounting", how)
                self.seen["released"] += partition.sampler.accounts.released
            self._owned[driver] = dict(driver.worker.partitions)
        for number, (offset, metadata) in self._broker.offsets.items():
            if offset != self._resumed[number]:
                self._resume_moved(number, offset)
                self.metadata[number].append(metadata)

    def finished(self) -> bool:
        """Tell whether everything has been committed."""
        offsets = self._broker.offsets
        return all(
            number in offsets and offsets[number][0] == log.end
            for number, log in enumerate(self._broker.topics[INPUT])
        )

    def broken(self, law: str, how: str) -> None:
        """Say which law is broken."""
        raise LawBrokenError(law, how)

    # Around one act of a worker

    def promoting(self, driver: Driver) -> AbstractContextManager[None]:
        """See `Turns`."""
        return self._turns.reading(driver.promoter)

    def reading_failed(self, driver: Driver) -> None:
        """What a round has read is lost."""
        self._turns.failed(driver.promoter)

    @contextmanager
    def folding(self, driver: Driver) -> Iterator[None]:
        """Every span that is folded is either received or replayed, and neither without reason."""
        before = {n: _counts(p) for n, p in driver.worker.partitions.items()}
        yield
        for number, partition in driver.worker.partitions.items():
            if number in before and before[number] != _counts(partition):
                self._folded(driver, number, before[number])

    @contextmanager
    def idling(self, driver: Driver, number: int) -> Iterator[Callable[[], int]]:
        """The wall clock cuts at the end of the log, open transactions included, and moves no time.

        Gives a function that says how many traces it cut.
        """
        sampler = driver.worker.partitions[number].sampler
        before, time_ms = len(sampler._undelivered), sampler.time_ms
        cut: list[Delivery] = []
        yield lambda: len(cut)
        if sampler.time_ms != time_ms:
            self.broken("partition time", f"{time_ms} before the wall clock, {sampler.time_ms} now")
        end = self._broker.topics[INPUT][number].end
        for one in list(sampler._undelivered._waiting)[before - sampler._undelivered._behind :]:
            assert isinstance(one, Delivery)
            cut.append(one)
            if one.decision.clock is not Clock.WALL or one.decision.upto != end:
                self.broken("wall clock", f"cut at {one.decision.upto}, the log ends at {end}")

    @contextmanager
    def restoring(self, driver: Driver, number: int) -> Iterator[None]:
        """What a start cannot find again is counted to the last record, and excused."""
        before = driver.points.get(number)
        state = self._broker.log_state(number) if self._broker.stable(number) else None
        yield
        point = driver.points.get(number)
        if point is None:
            return
        if point is not before and state is not None:
            committed = max(state.committed, 0)
            lost = 0 if state.committed == NO_OFFSET else max(0, state.start - committed)
            if point.lost != lost:
                self.broken("lost to retention", f"{lost} are lost, {point.lost} were counted")
            self.excused.lost[number].update(range(committed, state.start))
            held = hints.decode(state.metadata, offset=committed, identity=IDENTITY)
            missing = _missing(held, state.decisions_start, state.decisions_end)
            if point.decisions_missing != missing:
                how = f"{missing} are missing, {point.decisions_missing} were counted"
                self.broken("decisions missing", how)
        start = self._broker.topics[DECISIONS][number].start
        gone = self.published.decisions_below(number, self._needed_from(number), start)
        self.excused.forgotten[number] |= {one.trace_id for one in gone}

    # Helpers of the above

    def _needed_from(self, number: int) -> int:
        """Return the first decision that a successor needs, as the group's metadata says."""
        offset, metadata = self._broker.offsets.get(number, (0, ""))
        held = hints.decode(metadata, offset=offset, identity=IDENTITY)
        return held.decisions_from if held else 0

    def _folded(self, driver: Driver, number: int, before: "_Counts") -> None:
        sampler = driver.worker.partitions[number].sampler
        covered, dead = self.published.covered(number), self.published.dead_letters()
        spans = again = 0
        time_ms, clamped = before.time_ms, 0
        for offset in range(before.position, sampler.position):
            sent = self._visible(number, offset)
            spans += sent.span_count
            again += sum(len(ids) for one, ids in sent.spans.items() if covered[one, offset])
            again += sum(sent.bad_spans(why) for why in sent.bad if dead[number, offset, why])
            clamped += self._ahead(sent, time_ms)
            time_ms = max(time_ms, self._clamped(sent))
        after = _counts(driver.worker.partitions[number])
        received, replayed = after.received - before.received, after.replayed - before.replayed
        if received + replayed != spans:
            how = f"{spans} spans read, {received} received and {replayed} replayed"
            self.broken("accounting", how)
        if replayed > again or (self._strict(driver, number) and replayed != again):
            self.broken("replay", f"{again} spans read were done, {replayed} replayed")
        waited = before.caught_up != after.caught_up or not after.caught_up
        # What has waited for older decisions was polled under another wall clock.
        if not waited and (after.time_ms, after.clamped - before.clamped) != (time_ms, clamped):
            self.broken("partition time", f"{after}, it should be {time_ms}, clamped {clamped}")
        self.seen.update(replayed=replayed, clamped=clamped)

    def _strict(self, driver: Driver, number: int) -> bool:
        """Whether a worker knows of everything that was done: no zombie does."""
        group, membership = self._broker.group, driver.membership
        unknown = self.excused.hints_dropped or self.excused.forgotten[number]
        if unknown or not self.shape.transactional or membership is None:
            return False
        return membership.member in group.members and membership.generation == group.generation

    def _ahead(self, sent: Sent, time_ms: int) -> bool:
        """Whether a producer's stamp lies ahead of the wall clock, where it would count."""
        return self.shape.create_time and sent.timestamp_ms > max(self._wall(), time_ms)

    def _clamped(self, sent: Sent) -> int:
        """Return the stamp as it counts; a gap has none."""
        if sent.gap:
            return 0
        wall_ms = self._wall() if self.shape.create_time else sent.timestamp_ms
        return min(sent.timestamp_ms, wall_ms)

    def _visible(self, number: int, offset: int) -> Sent:
        visible = self._broker.topics[INPUT][number].records[offset].visible
        return self._arrived[number][offset] if visible else GAP

    def _resume_moved(self, number: int, offset: int) -> None:
        before, self._resumed[number] = self._resumed[number], offset
        if offset < before:
            self.broken("resume offset", f"partition {number} fell from {before} to {offset}")
        covered = self.published.covered(number)
        dead = self.published.dead_letters()
        for at in range(before, offset):
            sent = self._visible(number, at)
            if at in self.excused.lost[number]:
                continue
            if sent.pin is not None and not self._pin_done(number, at, sent.pin.trace_id):
                self.broken("resume offset", f"partition {number} resumes at {offset}, pin {at}")
            for trace_id in sent.spans:
                if not covered[trace_id, at]:
                    how = f"partition {number} resumes at {offset}, {at} is not decided"
                    self.broken("resume offset", how)
            for reason in sent.bad:
                if not dead[number, at, reason]:
                    how = f"partition {number} resumes at {offset}, {at} is no dead letter"
                    self.broken("resume offset", how)

    def _pin_done(self, number: int, at: int, trace_id: bytes) -> bool:
        """Whether a crash would not lose the pin: the decisions topic knows, or it was refused."""
        if self.shape.pins_max < MANY or trace_id in self.excused.forgotten[number]:
            return True
        of_trace = [d for d in self.published.decisions(number) if d.trace_id == trace_id]
        if any(one.verdict is not Verdict.NOT_SAMPLED for one in of_trace):
            return True
        # It had expired before the trace came.
        return bool(of_trace) and at < min(of_trace[0].offsets, default=at)


def spans_held(sampler: TailSampler) -> int:
    """Count the spans that a sampler holds, one by one; those of promotions count apart."""
    held = sum(trace.spans for trace in sampler._open.values())
    held += sum(late.decision.spans for late in sampler._promotions)
    for one in (*sampler._undelivered, *sampler._undelivered.in_flight):
        if isinstance(one, Delivery) and one.decision.trigger in PROMOTIONS:
            continue
        held += one.bad.spans if isinstance(one, DeadLetter) else one.decision.spans
    return held


class _Counts(NamedTuple):
    position: int
    time_ms: int
    received: int
    replayed: int
    clamped: int
    caught_up: bool


def _counts(partition: Partition) -> _Counts:
    sampler, accounts = partition.sampler, partition.sampler.accounts
    return _Counts(
        sampler.position,
        sampler.time_ms,
        accounts.received,
        accounts.replayed,
        accounts.records["clamped"],
        not partition.catching_up,
    )


def _missing(held: hints.Hints | None, start: int, end: int) -> int:
    """Count the decisions that the hints speak of and the topic no longer has."""
    if held is None:
        return 0
    deleted = sum(offset < start for offset in range(held.decisions_from, held.decisions_next))
    return deleted + sum(offset >= end for offset in range(held.decisions_next))
