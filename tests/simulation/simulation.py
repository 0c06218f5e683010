"""Workers, a group and a log, driven step by step from a seed, with faults between any two steps.

The same seed gives the same run. Nothing sleeps, nothing reads a clock, nothing runs in parallel:
interleavings are what the seed picks.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random

from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.stores import SpanStore
from stream.state.memory import MemorySpanStore
from stream.testing.core import Core, rules
from stream.testing.driver import Driver, Opened
from stream.testing.log import INPUT, Broker, FencedProducerError, Membership
from stream.worker.partition import Partition
from stream.worker.restore import Restore, ResumePoint
from stream.worker.transaction import Bounds
from tests.simulation.laws import Watch, laws_broken
from tests.simulation.traffic import Traffic

STEPS = 500
QUIET_ROUNDS_MAX = 400
POLLS = (1, 2, 10, 1_000)
OpenSpans = Callable[[], SpanStore]


@dataclass(slots=True)
class Shape:
    """What a seed chooses once: how large everything is, which faults there are and how often."""

    core: Core
    slots: int
    partitions: int
    bounds: tuple[int, int]
    output_limit: int | None
    idle: bool
    create_time: bool
    faults: dict[str, float]

    @classmethod
    def of(cls, rng: Random) -> "Shape":
        windows = Windows(
            decision_wait_ms=30,
            decision_wait_after_root_ms=rng.choice((0, 0, 8)),
            idle_grace_ms=5,
            decision_retention_ms=rng.choice((40, 120)),
        )
        limits = Limits(trace_spans_max=rng.choice((6, 100_000)))
        kinds = rng.sample(list(FAULTS), rng.randint(1, 5))
        return cls(
            Core(windows, limits, rules(sampling_percentage=rng.choice((0, 30)))),
            slots=rng.randint(1, 3),
            partitions=rng.randint(1, 4),
            bounds=(rng.choice((1, 3, 20_000)), rng.choice((1, 2_000, 1 << 25))),
            output_limit=rng.choice((None, None, None, None, 900)),
            idle=rng.random() < 0.5,
            create_time=rng.random() < 0.5,
            faults={kind: rng.choice((0.2, 1, 3)) for kind in kinds},
        )


@dataclass(slots=True, eq=False)
class Process:
    """One worker process. `member` is its id in the group; `notices` it has not been told yet."""

    slot: str
    driver: Driver
    member: str
    paused: bool = False
    leaving: bool = False
    expelled: bool = False
    callback: Iterator[None] | None = None
    notices: deque[tuple[str, Membership | None, list[int]]] = field(default_factory=deque)


class Simulation:
    """A run from its seed. `faults` off gives the same traffic an undisturbed worker."""

    def __init__(self, seed: int, *, open_spans: OpenSpans = MemorySpanStore) -> None:
        self.rng = Random(seed)
        self.shape = Shape.of(self.rng)
        core = self.shape.core
        self.traffic = Traffic(
            self.rng,
            partitions=self.shape.partitions,
            retention_ms=core.windows.decision_retention_ms,
            create_time=self.shape.create_time,
        )
        self.broker = a_broker(self.shape)
        self.watch = Watch(self.broker, self.traffic)
        self.processes: list[Process] = []
        self.owners: dict[int, str] = {}
        self.hints_dropped = False
        self.steps: list[str] = []
        self._chosen: dict[int, str | None] = {}
        self._open_spans = open_spans
        self._sent = [0] * self.shape.partitions
        self._wall_ms = 1_000
        self._members = 0
        self._awaited: set[str] = set()
        self._rebalance = False

    def run(self) -> None:
        """Disturb the workers for a while, then let them finish."""
        for number in range(self.shape.slots):
            self._start(f"slot-{number}")
        for _ in range(STEPS):
            self._step()
        self._quiesce()

    def laws_broken(self) -> list[str]:
        """Return every law that does not hold after the run, in words."""
        calm = None
        if not (self.shape.create_time and self.hints_dropped):
            calm = undisturbed(self.shape, self.traffic)
        return laws_broken(self.broker, self.traffic, calm, hints_dropped=self.hints_dropped)

    # One step

    def _step(self) -> None:
        rng = self.rng
        if rng.random() < 0.12:
            self._send(rng.randrange(self.shape.partitions), rng.choice((1, 3, 12)))
        self._supervise()
        self._coordinate()
        faults = self.shape.faults
        if rng.random() < 0.01 * sum(faults.values()):
            kind = rng.choices(list(faults), list(faults.values()))[0]
            if FAULTS[kind](self):
                self.steps.append(kind)
        awake = [process for process in self.processes if not process.paused]
        if awake:
            self._turn(rng.choice(awake))
        self.watch.check([process.driver for process in self.processes])

    def _supervise(self) -> None:
        """What happens by itself: dead processes start again, the group notices, pauses end."""
        rng = self.rng
        if rng.random() < 0.1:
            self._revive()
        if rng.random() < 0.1:
            living = {process.member for process in self.processes}
            for member in sorted((self.broker.group.members | set(self.owners.values())) - living):
                self._expel(member)
        for process in self.processes:
            if process.paused and rng.random() < 0.04:
                process.paused = False

    def _turn(self, process: Process) -> None:
        """Let a process do one thing."""
        rng, driver = self.rng, process.driver
        try:
            if process.callback is not None and rng.random() < 0.5:
                self._call_back(process)
            elif process.notices and process.callback is None and rng.random() < 0.5:
                self._notice(process)
            elif driver.restoring and rng.random() < 0.6:
                driver.restore(rng.choice(driver.restoring))
            else:
                self._work(process)
        except FencedProducerError:
            self._died(process)

    def _work(self, process: Process) -> None:
        rng, driver = self.rng, process.driver
        ready = sorted(driver.worker.partitions)
        what = rng.random()
        if what < 0.35 and ready and process.callback is None:
            driver.poll(rng.choice(ready), rng.choice(POLLS))
        elif what < 0.55:
            driver.fold()
        elif what < 0.65 and self.shape.idle:
            for number in ready:
                driver.idle(number, self._wall_ms)
        elif driver.committing:
            driver.turn()
        elif process.callback is None:
            driver.begin()

    def _call_back(self, process: Process) -> None:
        assert process.callback is not None
        if next(process.callback, "done") != "done":
            return
        process.callback = None
        self._awaited.discard(process.member)
        if process.leaving:
            self._left(process)

    def _notice(self, process: Process) -> None:
        kind, membership, numbers = process.notices.popleft()
        if kind == "assigned":
            assert membership is not None
            process.driver.assigned(membership, numbers)
        elif kind == "revoked":
            process.callback = process.driver.revoking(numbers)
        else:
            process.driver.lost(sorted(process.driver.owned))
            process.expelled = False
            self._join(process)

    def _send(self, number: int, count: int) -> None:
        for sent in self.traffic.partitions[number][self._sent[number] :][:count]:
            sent.append_to(self.broker.topics[INPUT][number])
            self._sent[number] += 1
            if self._sent[number] < len(self.traffic.partitions[number]):
                self._wall_ms = max(self._wall_ms, sent.timestamp_ms)
        self._wall_ms += self.rng.choice((0, 1, 20))

    # The group

    def _start(self, slot: str) -> None:
        driver = a_driver(self.broker, slot, self.shape, self._open_spans)
        process = Process(slot, driver, "")
        self.processes.append(process)
        self._join(process)

    def _join(self, process: Process) -> None:
        self._members += 1
        process.member = f"{process.slot}/{self._members}"
        self._rebalance = True

    def _left(self, process: Process) -> None:
        self.processes.remove(process)
        process.driver.close()
        self._expel(process.member)

    def _died(self, process: Process) -> None:
        """Its member stays in the group until the session expires; its transaction stays open."""
        self.processes.remove(process)
        process.driver.close()

    def _expel(self, member: str) -> None:
        self.broker.group.members.discard(member)
        self.owners = {n: owner for n, owner in self.owners.items() if owner != member}
        self._awaited.discard(member)
        self._rebalance = True

    def _coordinate(self) -> None:
        """Move the rebalance under way further: revoke first, assign when all have let go."""
        if self._awaited or not self._rebalance:
            return
        joined = {p.member: p for p in self.processes if not (p.leaving or p.expelled)}
        ghosts = set(self.owners.values()) - joined.keys()
        target = self._target(sorted(joined), ghosts)
        moved = {n for n, owner in self.owners.items() if owner in joined and target[n] != owner}
        if moved:
            for member in sorted({self.owners[number] for number in moved}):
                numbers = sorted(n for n in moved if self.owners[n] == member)
                joined[member].notices.append(("revoked", None, numbers))
                self._awaited.add(member)
            self.owners = {n: owner for n, owner in self.owners.items() if n not in moved}
            self._chosen = target
            return
        self._rebalance = False
        self._chosen = {}
        group = self.broker.group
        group.generation += 1
        group.members = {*joined, *ghosts}
        for member, process in joined.items():
            added = sorted(n for n, to in target.items() if to == member and n not in self.owners)
            membership = Membership(member, group.generation)
            process.notices.append(("assigned", membership, added))
        self.owners |= {n: owner for n, owner in target.items() if owner is not None}

    def _target(self, members: list[str], ghosts: set[str]) -> dict[int, str | None]:
        """Choose an owner for each partition; what a dead member holds stays with it."""
        target: dict[int, str | None] = {}
        for number in range(self.shape.partitions):
            owner = self.owners.get(number)
            chosen = self._chosen.get(number)
            if owner in ghosts:
                target[number] = owner
            elif chosen in members:
                target[number] = chosen
            elif owner in members and self.rng.random() < 0.6:
                target[number] = owner
            else:
                target[number] = self.rng.choice(members) if members else None
        return target

    # Faults. Each says whether there was anything to do.

    def _one(self, *, paused: bool | None = None) -> Process | None:
        able = [p for p in self.processes if paused is None or p.paused is paused]
        return self.rng.choice(able) if able else None

    def _one_in_a_transaction(self) -> Process | None:
        """Mostly one of those: it is where a fault hurts."""
        able = [p for p in self.processes if p.driver.committing]
        return self.rng.choice(able) if able and self.rng.random() < 0.7 else self._one()

    def crash(self) -> bool:
        process = self._one_in_a_transaction()
        if process is not None:
            self.steps.append(f"crash while {process.driver.standing}")
            self._died(process)
        return process is not None

    def terminate(self) -> bool:
        process = self._one(paused=False)
        if process is None or process.leaving or process.expelled or process.callback:
            return False
        process.leaving = True
        process.notices.clear()
        self._awaited.discard(process.member)
        process.callback = process.driver.revoking(sorted(process.driver.owned))
        return True

    def rebalance(self) -> bool:
        self._rebalance = True
        return True

    def abort(self) -> bool:
        able = [p for p in self.processes if p.driver.abortable and not p.paused]
        if not able:
            return False
        process = self.rng.choice(able)
        try:
            process.driver.abort()
        except FencedProducerError:
            self._died(process)
        return True

    def pause(self) -> bool:
        """Pause one, or let a paused one go on."""
        paused = self.rng.random() < 0.5
        process = self._one(paused=paused) if paused else self._one_in_a_transaction()
        if process is None:
            return False
        process.paused = not process.paused
        return True

    def stall(self) -> bool:
        """Pause one for longer than its session lasts."""
        process = self._one_in_a_transaction()
        if process is not None:
            process.paused = True
        return self.expire_sessions()

    def expire_sessions(self) -> bool:
        """The group gives up on those who are dead or paused; a zombie is told when it wakes."""
        alive = {p.member for p in self.processes if not p.paused}
        gone = (self.broker.group.members | set(self.owners.values())) - alive
        for member in sorted(gone):
            self._expel(member)
        for process in self.processes:
            if process.member in gone:
                process.expelled = True
                process.notices = deque([("lost", None, [])])
        return bool(gone)

    def expire_transactions(self) -> bool:
        """The coordinator aborts transactions of the dead, and of one that stalls."""
        process = self._one_in_a_transaction()
        if process is not None and process.driver.committing:
            process.paused = True
        awake = {p.slot for p in self.processes if not p.paused}
        slots = {f"slot-{number}" for number in range(self.shape.slots)}
        expired = [self.broker.expire(slot) for slot in sorted(slots - awake)]
        return any(expired)

    def usurp(self) -> bool:
        """Start a second process in a slot whose first one lives."""
        process = self._one()
        if process is None or len(self.processes) > self.shape.slots:
            return False
        self._start(process.slot)
        return True

    def drop_hints(self) -> bool:
        number = self.rng.randrange(self.shape.partitions)
        if number not in self.broker.offsets or not self.broker.stable(number):
            return False
        offset, _ = self.broker.offsets[number]
        metadata = self.rng.choice(("", "another tool's", self._foreign_hints(number)))
        self.broker.offsets[number] = (offset, metadata)
        self.hints_dropped = True
        return True

    def _foreign_hints(self, number: int) -> str:
        """Hints that a mirror copied: those of another offset."""
        offset, metadata = self.broker.offsets[number]
        return metadata.replace(f'"offset":{offset},', f'"offset":{offset + 3},').replace(
            '"time_ms":', '"time_ms":99'
        )

    def _revive(self) -> None:
        """A supervisor starts every slot's process again."""
        living = {process.slot for process in self.processes}
        for number in range(self.shape.slots):
            if f"slot-{number}" not in living:
                self._start(f"slot-{number}")

    # The end

    def _quiesce(self) -> None:
        """No more faults: everything arrives, is decided and is committed."""
        for process in self.processes:
            process.paused = False
        for number, sent in enumerate(self.traffic.partitions):
            self._send(number, len(sent))
        for _ in range(QUIET_ROUNDS_MAX):
            self._revive()
            self.expire_sessions()
            self._time_out_transactions()
            self._coordinate()
            for process in list(self.processes):
                self._finish(process)
            self.watch.check([process.driver for process in self.processes])
            if self.watch.finished():
                return
        self.watch.broken(f"no end: {self.broker.offsets} {self.owners}")

    def _time_out_transactions(self) -> None:
        """End what a dead process left open in a slot whose living one has been fenced by it."""
        for number in range(self.shape.slots):
            sessions = [p.driver.session for p in self.processes if p.slot == f"slot-{number}"]
            if not any(map(self.broker.is_current, sessions)):
                self.broker.expire(f"slot-{number}")

    def _finish(self, process: Process) -> None:
        driver = process.driver
        try:
            while process.callback is not None:
                self._call_back(process)
            if process not in self.processes:
                return
            while process.notices and process.callback is None:
                self._notice(process)
            for number in driver.restoring:
                while number in driver.restoring and driver.restore(number):
                    pass
            for number in sorted(driver.worker.partitions):
                driver.poll(number, 1_000)
            while driver.fold():
                pass
            driver.finish()
        except FencedProducerError:
            self._died(process)


FAULTS: dict[str, Callable[[Simulation], bool]] = {
    "crash": Simulation.crash,
    "terminate": Simulation.terminate,
    "rebalance": Simulation.rebalance,
    "abort": Simulation.abort,
    "pause": Simulation.pause,
    "stall": Simulation.stall,
    "expire_sessions": Simulation.expire_sessions,
    "expire_transactions": Simulation.expire_transactions,
    "usurp": Simulation.usurp,
    "drop_hints": Simulation.drop_hints,
}


def a_broker(shape: Shape) -> Broker:
    topics = {INPUT: shape.partitions, "output": shape.partitions, "decisions": shape.partitions}
    limits = {"output": shape.output_limit} if shape.output_limit else {}
    return Broker({**topics, "dead_letters": 1}, message_bytes_max=limits)


def a_driver(broker: Broker, slot: str, shape: Shape, open_spans: OpenSpans) -> Driver:
    core = shape.core
    budget = OpenTracesBudget()

    def open_partition(number: int) -> Opened:
        spans, decisions = open_spans(), core.decision_store()

        def build(point: ResumePoint, restore: Restore) -> Partition:
            return core.partition(
                number, spans=spans, decisions=decisions, budget=budget, restored=(point, restore)
            )

        def close() -> None:
            spans.close()
            decisions.close()

        return Opened(decisions, build, close)

    return Driver(
        broker,
        slot,
        open_partition=open_partition,
        plan=core.rules.plan,
        identity=core.identity,
        bounds=Bounds(*shape.bounds),
    )


def undisturbed(shape: Shape, traffic: Traffic) -> Broker:
    """Return what one worker writes that reads the same log in one poll and nothing goes wrong."""
    calm = replace(shape, slots=1, bounds=(20_000, 1 << 25), output_limit=None)
    broker = a_broker(calm)
    for log, entries in zip(broker.topics[INPUT], traffic.partitions, strict=True):
        for sent in entries:
            sent.append_to(log)
    driver = a_driver(broker, "slot-0", calm, MemorySpanStore)
    broker.group.members = {"one"}
    driver.assigned(Membership("one", 0), range(shape.partitions))
    for number in range(shape.partitions):
        while number in driver.restoring:
            driver.restore(number)
        driver.poll(number, 1_000_000)
    while driver.fold():
        pass
    while driver.finish():
        pass
    return broker
