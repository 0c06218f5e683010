"""Workers, their group and the log: `apply` lets one step happen, `quiesce` lets all of it end.

Nothing sleeps, nothing reads a clock, nothing runs in parallel: interleavings are the steps'.
"""

from collections import deque
from collections.abc import Callable

from stream.testing.driver import Driver, UnknownOutcomeError
from stream.testing.log import (
    INPUT,
    Broker,
    FencedProducerError,
    OpenTransaction,
    Outcome,
    OutOfRangeError,
    Session,
)
from tests.simulation import faults
from tests.simulation.disks import Disks
from tests.simulation.group import Coordinator, Process
from tests.simulation.shape import Shape, a_broker, a_driver
from tests.simulation.steps import Step
from tests.simulation.traffic import GAP, Sent, Traffic, tick
from tests.simulation.turns import ROOM_BYTES
from tests.simulation.watch import Watch

QUIET_ROUNDS_MAX = 400
ENDS = (FencedProducerError, UnknownOutcomeError, OutOfRangeError)


class World:
    """Everything that a run consists of, between two steps."""

    def __init__(self, shape: Shape, traffic: Traffic, disks: Disks) -> None:
        self.shape = shape
        self.traffic = traffic
        self.broker: Broker = a_broker(shape)
        self.arrived: list[dict[int, Sent]] = [{} for _ in range(shape.partitions_max)]
        self.foreign: dict[int, OpenTransaction] = {}
        self.in_flight: dict[int, Session] = {}
        self.cursors = [0] * shape.partitions_max
        self.wall_ms = 1_000
        self.group = Coordinator(
            self.broker.group, partitions=shape.partitions, static=shape.static
        )
        self.processes: list[Process] = []
        self.watch = Watch(self.broker, self.arrived, wall=lambda: self.wall_ms, shape=shape)
        self.disks = disks
        for slot in range(shape.slots):
            self.start(slot)
        self.group.move(self.processes)

    # Steps

    def apply(self, step: Step) -> bool:
        """Let a step happen; False if there is nothing for it to happen to: then nothing did."""
        act = _ACTS.get(step.what)
        if act is not None:
            happened, drivers = act(self, step), []
        else:
            process = self.process(step)
            if process is None or (process.paused and step.what not in {"wake", "crash"}):
                return False
            happened, drivers = self._act(process, step), [process.driver]
        if happened:
            self.group.move(self.processes)
            self.watch.check(drivers)
        return happened

    def _act(self, process: Process, step: Step) -> bool:
        try:
            return _OF_A_PROCESS[step.what](self, process, step)
        except ENDS:
            self.died(process)
            return True

    def process(self, step: Step) -> Process | None:
        """Return the process that a step concerns."""
        of_slot = [process for process in self.processes if process.slot == step.slot]
        return of_slot[step.nth] if step.nth < len(of_slot) else None

    def nth(self, process: Process) -> int:
        """Return how a step tells a process from others of its slot."""
        return [p for p in self.processes if p.slot == process.slot].index(process)

    # What arrives

    def append(self, number: int, sent: Sent, *, foreign: OpenTransaction | None = None) -> None:
        """Append to the input; the wall clock is never behind what has arrived."""
        log = self.broker.topics[INPUT][number]
        self.arrived[number][log.end] = sent
        sent.append_to(log, foreign)
        self.wall_ms = max(self.wall_ms, sent.true_ms)

    def end_foreign(self, number: int, *, committed: bool) -> None:
        """End the foreign transaction of a partition."""
        transaction = self.foreign.pop(number)
        transaction.outcome = Outcome.COMMITTED if committed else Outcome.ABORTED
        log = self.broker.topics[INPUT][number]
        self.arrived[number][log.end] = GAP
        log.ended(transaction)

    # Processes

    def start(self, slot: int) -> None:
        """Start a process in a slot; it fences whoever used the slot before."""
        disk = self.disks.start(slot)
        driver = a_driver(self.broker, f"slot-{slot}", self.shape, disk)
        process = Process(slot, driver, disk)
        self.group.join(process)
        for other in self.processes:
            if self.shape.static and other.slot == slot and not other.leaving:
                # The coordinator fences the older member of a static id.
                other.notices = deque([("fenced", None, [])])
                other.expelled = True
                self.group.awaited.discard(other.member)
        self.processes.append(process)

    def died(self, process: Process) -> None:
        """Its member stays in the group until the session expires; its transaction stays open."""
        self.processes.remove(process)
        process.close()

    def expire_sessions(self, *, of_paused: bool) -> bool:
        """The group gives up on those it does not hear of; a zombie is told when it wakes."""
        alive = {p.member for p in self.processes if not (of_paused and p.paused)}
        gone = self.group.known - alive
        for member in sorted(gone):
            self.group.expel(member)
        for process in self.processes:
            if process.member in gone:
                process.expelled = True
                process.notices = deque([("lost", None, [])])
        return bool(gone)

    def call_back(self, process: Process) -> bool:
        """Take a revocation further."""
        if process.callback is None:
            return False
        if next(process.callback, "done") != "done":
            return True
        process.callback = None
        self.group.awaited.discard(process.member)
        if process.leaving:
            self.processes.remove(process)
            process.close()
            self.group.leave(process)
        return True

    def notice(self, process: Process) -> bool:
        """Let a process hear the next thing that the group has to say."""
        if process.callback is not None or not process.notices:
            return False
        kind, membership, numbers = process.notices.popleft()
        if kind == "assigned":
            assert membership is not None
            process.driver.assigned(membership, numbers)
        elif kind == "revoked":
            process.callback = process.driver.revoking(numbers)
        elif kind == "fenced":
            self.died(process)
        else:
            process.driver.lost(sorted(process.driver.owned))
            process.expelled = False
            self.group.join(process)
        return True

    # What a worker does

    def poll(self, process: Process, step: Step) -> bool:
        if process.callback is not None or step.number not in process.driver.worker.partitions:
            return False
        return process.driver.poll(step.number, step.count) > 0

    def fold(self, process: Process) -> bool:
        wall_ms = self.wall_ms if self.shape.create_time else None
        with self.watch.folding(process.driver):
            return process.driver.fold(wall_ms)

    def idle(self, process: Process) -> bool:
        happened = False
        for number, partition in sorted(process.driver.worker.partitions.items()):
            position = partition.sampler.position
            with self.watch.idling(process.driver, number) as cut:
                process.driver.idle(number, self.wall_ms)
            happened = happened or cut() > 0 or partition.sampler.position > position
        return happened

    def restore(self, process: Process, number: int) -> bool:
        if number not in process.driver.restoring:
            return False
        driver = process.driver
        with self.watch.restoring(driver, number), self.watch.folding(driver):
            return driver.restore(number)

    def promote(self, process: Process, step: Step) -> bool:
        """A round whose turns are single records may hold the bytes of one trace."""
        if step.number not in process.driver.promoter.partitions:
            return False
        bytes_max = 1 if step.count == 1 else ROOM_BYTES
        return self._read_again(process.driver, step.number, step.count, bytes_max)

    def _read_again(self, driver: Driver, number: int, count: int, bytes_max: int) -> bool:
        with self.watch.promoting(driver):
            return driver.promoter.read(number, count, bytes_max)

    def turn(self, process: Process) -> bool:
        if not process.driver.committing:
            return False
        process.driver.turn()
        return True

    def begin(self, process: Process) -> bool:
        changed = any(one.changed for one in process.driver.worker.partitions.values())
        if process.driver.committing or process.callback is not None or not changed:
            return False
        return process.driver.begin()

    # The end

    def quiesce(self) -> None:
        """No more faults: everything is decided and committed. Nothing here is left to chance."""
        for process in self.processes:
            process.paused = False
        self.in_flight.clear()
        for number in sorted(self.foreign):
            self.end_foreign(number, committed=number % 2 == 0)
        for number in range(self.group.partitions):
            self.append(number, tick(self.wall_ms))
        for _ in range(QUIET_ROUNDS_MAX):
            self._quiet_round()
            self.watch.check([process.driver for process in self.processes])
            if self.watch.finished():
                return
        self.watch.broken("an end", f"offsets {self.broker.offsets}, owners {self.group.owners}")

    def _quiet_round(self) -> None:
        living = {process.slot for process in self.processes}
        for slot in range(self.shape.slots):
            if slot not in living:
                self.start(slot)
            sessions = [p.driver.session for p in self.processes if p.slot == slot]
            if not any(map(self.broker.is_current, sessions)):
                # What a dead process left open in a slot whose living one it has fenced.
                self.broker.expire(f"slot-{slot}")
        self.expire_sessions(of_paused=False)
        self.group.move(self.processes)
        for process in list(self.processes):
            try:
                self._finish(process)
            except ENDS:
                self.died(process)

    def _finish(self, process: Process) -> None:
        driver = process.driver
        while self.call_back(process):
            pass
        while process in self.processes and self.notice(process):
            pass
        if process not in self.processes or process.callback is not None:
            return
        for number in driver.restoring:
            while self.restore(process, number):
                pass
        for number in sorted(driver.worker.partitions):
            driver.poll(number, 1_000)
        while self.fold(process):
            pass
        for number in driver.promoter.partitions:
            # Every other partition's passes hold one trace at a time.
            while self._read_again(driver, number, 1_000, 1 if number % 2 else ROOM_BYTES):
                pass
        driver.finish()


def _arrive(world: World, step: Step) -> bool:
    entries = world.traffic.partitions[step.number]
    if step.number >= world.group.partitions or step.count >= len(entries):
        return False
    sent = entries[step.count]
    foreign = None
    if step.what == "arrive_foreign" and not sent.gap:
        foreign = world.foreign.setdefault(step.number, OpenTransaction())
    world.append(step.number, sent, foreign=foreign)
    world.cursors[step.number] = step.count + 1
    return True


def _end_foreign(world: World, step: Step) -> bool:
    if step.number not in world.foreign:
        return False
    world.end_foreign(step.number, committed=step.count == 1)
    return True


def _pass_time(world: World, step: Step) -> bool:
    world.wall_ms += step.count
    return True


def _restart(world: World, step: Step) -> bool:
    if any(process.slot == step.slot for process in world.processes):
        return False
    world.start(step.slot)
    return True


def _wake(_: World, process: Process, __: Step) -> bool:
    woken, process.paused = process.paused, False
    return woken


_ACTS: dict[str, Callable[[World, Step], bool]] = {
    "arrive": _arrive,
    "arrive_foreign": _arrive,
    "end_foreign": _end_foreign,
    "pass_time": _pass_time,
    "restart": _restart,
    "bury": lambda world, _: world.expire_sessions(of_paused=False),
    **faults.OF_THE_WORLD,
}

_OF_A_PROCESS: dict[str, Callable[[World, Process, Step], bool]] = {
    "poll": World.poll,
    "fold": lambda world, process, _: world.fold(process),
    "idle": lambda world, process, _: world.idle(process),
    "begin": lambda world, process, _: world.begin(process),
    "turn": lambda world, process, _: world.turn(process),
    "promote": World.promote,
    "restore": lambda world, process, step: world.restore(process, step.number),
    "notice": lambda world, process, _: world.notice(process),
    "call_back": lambda world, process, _: world.call_back(process),
    "wake": _wake,
    **faults.OF_A_PROCESS,
}
