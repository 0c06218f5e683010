"""One run: traffic, workers, faults one after the other, the end, the laws."""

import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.chaos.faults import Faults
from tests.chaos.fleet import TOLD_TO_END, Fleet, StuckError
from tests.chaos.hanging import HangingTransactions
from tests.chaos.laws import Account, hold
from tests.chaos.schedule import SLOTS, Fault, Kind, Schedule
from tests.chaos.traffic import Traffic
from tests.harness.broker import Broker
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import PARTITIONS, GroupOffsets, Topics, ends_of, topics_of_a_test

SPANS_MIN = 300_000
SPANS_MAX = 3_000_000
SPANS_A_S = 3_000.0
# Not a promise of speed: what is not back by then hangs.
STUCK_AFTER_S = 300.0
LOOK_AFTER_S = 30.0
# After an outage it does not flood: a window would hold many times its traces, and the workers
# would have to decide early.
SENDER = {
    "topic.metadata.refresh.interval.ms": 5_000,
    "queue.buffering.max.messages": 200,
    "reconnect.backoff.max.ms": 500,
    "log_level": 0,
}


@dataclass(frozen=True, slots=True)
class Recovery:
    """After one fault. Seconds from its strike, None where the next one struck before.

    `ready_s`: every partition is owned, once, by a worker that has restored it. `caught_up_s`: what
    had been appended by then is read, and that is committed.
    """

    fault: Fault
    struck_s: float
    cause_s: float
    ready_s: float | None = None
    caught_up_s: float | None = None


@dataclass(slots=True)
class Ran:
    """What happened, and what came of it."""

    seed: int
    minutes: float
    rules: Rules
    spans_a_s: float
    membership: str
    recoveries: list[Recovery] = field(default_factory=list)
    account: Account = field(default_factory=Account)
    seconds: float = 0.0
    exits: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    peak_rss_bytes: dict[str, int] = field(default_factory=dict)
    spilled_bytes: int = 0
    partitions: int = PARTITIONS
    hints_dropped: int = 0
    hanging_transactions: int = 0
    restarts_by_the_operator: int = 0


class Run:
    """Runs a schedule for `minutes`, and until each kind of fault has struck."""

    def __init__(
        self,
        broker: Broker,
        home: Path,
        *,
        minutes: float,
        seed: int,
        say: Callable[[str], None],
        only: Collection[Kind] = (),
    ) -> None:
        rng = Random(f"run {seed}")
        self._schedule = Schedule(seed, only)
        rules = Rules(decision_wait_ms=rng.randrange(3_000, 5_000), slow_ms=1_000, percentage=5)
        seconds = max(60 * minutes, 1.0)
        self._spans_a_s = min(SPANS_A_S, SPANS_MAX / seconds)
        self._until_s = seconds
        self.ran = Ran(seed, minutes, rules, self._spans_a_s, self._schedule.membership)
        self._broker = broker
        self._home = home
        self._write = say
        self._started_s = time.monotonic()
        self._admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})

    def run(self) -> Ran:
        """Run and compare. Laws that broke are in the answer; a hang raises StuckError.

        Of a run that broke one, the broker's data are kept below `home`.
        """
        with topics_of_a_test(self._broker.bootstrap) as topics:
            fleet = Fleet.of(
                topics, self.ran.rules, self._home, self._say, spans_a_s=self._spans_a_s
            )
            faults = Faults(self._broker, topics, fleet, PARTITIONS)
            self._hanging = HangingTransactions(
                self._broker, topics, self._home, self._say, fleet.running
            )
            try:
                self._strike_and_send(topics, fleet, faults)
            except StuckError:
                self._say(fleet.state())
                fleet.last_words()
                self._broker.save_data(self._home)
                raise
            finally:
                fleet.close()
                self._note(fleet, faults)
            self._wait_until_stable(topics)
            self._say("comparing")
            account = hold(
                topics, self.ran.rules, faults.partitions, hints_dropped=faults.hints_dropped
            )
            account.broken += self.ran.account.broken
            self.ran.account = account
            self.ran.hanging_transactions = self._hanging.ended
            self.ran.restarts_by_the_operator = self._hanging.restarts
            if account.broken:
                self._broker.save_data(self._home)
        return self.ran

    def _strike_and_send(self, topics: Topics, fleet: Fleet, faults: Faults) -> None:
        late_after_s = self.ran.rules.decision_wait_ms / 1000 + 0.4
        traffic = Traffic(self.ran.seed, spans_a_s=self._spans_a_s, late_after_s=late_after_s)
        sender = Sender(topics.bootstrap, topics.input, traffic, kafka=SENDER, steady=True)
        fleet.join_as(self._schedule.membership, Random(self.ran.seed))
        self._say(f"{', '.join(SLOTS)} join: {self._schedule.membership}")
        for slot in SLOTS:
            fleet.start(slot)
        sender.start()
        try:
            self._strike_all(topics, fleet, faults)
            while traffic.spans < 1.02 * SPANS_MIN:
                fleet.tick()
        finally:
            sender.stop()
        sender.finish()
        self._finish(topics, fleet, faults)

    def _strike_all(self, topics: Topics, fleet: Fleet, faults: Faults) -> None:
        self._recover(topics, fleet, faults, self._now_s())
        for fault in self._schedule:
            enough = fault.number > self._schedule.first_round and self._now_s() >= self._until_s
            last = self.ran.recoveries[-1] if self.ran.recoveries else None
            if last is not None and (enough or not fault.hasty):
                ready_s, caught_up_s = self._recover(topics, fleet, faults, last.struck_s)
                self.ran.recoveries[-1] = Recovery(
                    last.fault, last.struck_s, last.cause_s, ready_s, caught_up_s
                )
                self._say(f"  ready after {ready_s:.1f} s, caught up after {caught_up_s:.1f} s")
            if enough:
                return
            fleet.wait(fault.pause_s)
            self._say(str(fault))
            struck_s = self._now_s()
            faults.strike(fault)
            cause_s = self._now_s() - struck_s
            self._say(f"  its cause is over after {cause_s:.1f} s")
            self.ran.recoveries.append(Recovery(fault, struck_s, cause_s))

    def _recover(
        self, topics: Topics, fleet: Fleet, faults: Faults, struck_s: float
    ) -> tuple[float, float]:
        """Wait until the workers are back; return (ready, caught up) as `Recovery` has them."""
        began_s = self._now_s()
        while not fleet.owns_each_once(faults.partitions):
            self._tick(fleet, began_s, "every partition owned and ready")
        ready_s = self._now_s() - struck_s
        ends = self._ends(topics)
        positions = GroupOffsets(topics.bootstrap, f"{topics.group}-position", topics.input)
        while not self._reached(positions, ends):
            self._tick(fleet, began_s, "what waited is read")
        return ready_s, self._now_s() - struck_s

    def _finish(self, topics: Topics, fleet: Fleet, faults: Faults) -> None:
        self._say("nothing more is sent")
        self._recover(topics, fleet, faults, self._now_s())
        began_s = self._now_s()
        ends = self._ends(topics)
        for group in (f"{topics.group}-position", topics.group):
            offsets = GroupOffsets(topics.bootstrap, group, topics.input)
            while not self._reached(offsets, ends):
                self._tick(fleet, began_s, f"{group} at the end of the input")
        fleet.end(fleet.wanted(), signal.SIGTERM)

    def _ends(self, topics: Topics) -> dict[int, int]:
        return {number: end for number, end in ends_of(self._admin, topics.input).items() if end}

    def _reached(self, offsets: GroupOffsets, ends: dict[int, int]) -> bool:
        try:
            committed = offsets.committed()
        except (KafkaException, TimeoutError):
            return False
        return all(committed.get(number, 0) >= end for number, end in ends.items())

    def _tick(self, fleet: Fleet, began_s: float, what: str) -> None:
        fleet.tick()
        if self._now_s() - began_s > LOOK_AFTER_S:
            self._hanging.look()
        if self._now_s() - began_s > STUCK_AFTER_S:
            raise StuckError(f"not within {STUCK_AFTER_S:.0f} s: {what}")

    def _wait_until_stable(self, topics: Topics) -> None:
        """A `read_committed` reader would take an open transaction for the end of the log."""
        until_s = time.monotonic() + STUCK_AFTER_S
        for topic in topics.all():
            while ends_of(self._admin, topic) != ends_of(self._admin, topic, stable=True):
                self._hanging.look()
                if time.monotonic() > until_s:
                    raise StuckError(f"a transaction on {topic} stays open")
                time.sleep(0.5)

    def _note(self, fleet: Fleet, faults: Faults) -> None:
        ran = self.ran
        ran.seconds = self._now_s()
        ran.exits = {str(code): count for code, count in sorted(fleet.exits.items())}
        ran.ends = {str(code): count for code, count in sorted(fleet.told.items())}
        ran.peak_rss_bytes = {name: slot.peak_rss_bytes for name, slot in fleet.slots.items()}
        ran.spilled_bytes = fleet.spilled_bytes
        ran.partitions = faults.partitions
        ran.hints_dropped = faults.hints_dropped
        for code, count in (fleet.exits + fleet.told).items():
            if code not in TOLD_TO_END:
                ran.account.broken.append(f"{count} workers ended with exit code {code}")
        if not fleet.spilled_bytes:
            ran.account.broken.append("nothing was spilled: the run does not show what it is for")

    def _say(self, text: str) -> None:
        self._write(f"[{self._now_s():7.1f} s] {text}")

    def _now_s(self) -> float:
        return time.monotonic() - self._started_s
