"""The workers of a run, and their supervisor: whoever ends without being told is started again."""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.schedule import SLOTS, THIRD, Membership
from tests.harness.oracle import Rules
from tests.harness.topics import Topics
from tests.harness.worker import WorkerProcess

RESTART_AFTER_S = 1.0
END_TIMEOUT_S = 90.0
TICK_S = 0.2
LAST_LINES = 60
# Operator's mistake (of a broker that is away at the start), fenced, watchdog: what a supervisor
# is there for. The others are bugs.
RESTARTED = (2, 3, 71)
# -SIGTERM: told before it could take notice, when it had only just been started.
TOLD_TO_END = (0, -signal.SIGKILL, -signal.SIGTERM, *RESTARTED)
KIP_848 = {"group.protocol": "consumer"}
# What a worker may hold for each span that is sent within a window, or may come in a burst. The
# bodies do not fit into that where one worker has most partitions, so it spills; the open traces
# do, so none is decided early.
BYTES_A_SPAN = 600
BURST_S = 3.0


class StuckError(Exception):
    """Something that must end has not."""


@dataclass(slots=True)
class Slot:
    """A worker's place. `due_s`: when the supervisor is to start it, None: it runs or need not."""

    worker: WorkerProcess
    due_s: float | None = None
    peak_rss_bytes: int = 0


@dataclass(slots=True)
class Fleet:
    """Up to three workers. `tick` is called wherever the run waits: it supervises and samples.

    `exits`: how often workers ended by themselves, by exit code; `told` the same of those that were
    told to by SIGTERM. `say` gets a line for the log of the run.
    """

    slots: dict[str, Slot]
    say: Callable[[str], None]
    exits: Counter[int] = field(default_factory=Counter)
    told: Counter[int] = field(default_factory=Counter)
    spilled_bytes: int = 0

    @classmethod
    def of(
        cls,
        topics: Topics,
        rules: Rules,
        home: Path,
        say: Callable[[str], None],
        *,
        spans_a_s: float,
    ) -> "Fleet":
        """Give three slots, nobody in them yet. One keeps all of its decisions on disk."""
        window_spans = spans_a_s * (rules.decision_wait_ms / 1000 + BURST_S)
        memory = f"{max(1024, round(BYTES_A_SPAN * window_spans / 1024))}KiB"
        stores = {SLOTS[0]: "spill", SLOTS[1]: "rocksdb", THIRD: "spill"}
        workers = {
            slot: WorkerProcess(
                topics, rules, home, slot=slot, storage={"memory": memory, "decisions": decisions}
            )
            for slot, decisions in stores.items()
        }
        return cls({slot: Slot(worker) for slot, worker in workers.items()}, say)

    def wanted(self) -> list[str]:
        """Return the slots with somebody in them, or soon."""
        return [
            name
            for name, slot in self.slots.items()
            if slot.worker.pid is not None or slot.due_s is not None
        ]

    def running(self) -> int:
        """Return how many of them have a process."""
        return sum(slot.worker.pid is not None for slot in self.slots.values())

    def join_as(self, membership: Membership, rng: Random) -> None:
        """From the next start on, belong to the group like this."""
        for slot in self.slots.values():
            mixed = membership is Membership.MIXED and rng.random() < 0.5
            slot.worker.join_as(
                static=mixed or membership is Membership.STATIC,
                kafka=KIP_848 if membership is Membership.KIP_848 else {},
            )

    def start(self, name: str, *, after_s: float = 0.0) -> None:
        """Have it started by the next tick that is late enough."""
        self.slots[name].due_s = time.monotonic() + after_s

    def tick(self) -> None:
        """Supervise, sample, and let a moment pass."""
        for name, slot in self.slots.items():
            self._sample(slot)
            self._supervise(name, slot)
        time.sleep(TICK_S)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.tick()

    def end(self, names: Iterable[str], sig: signal.Signals) -> None:
        """Send them the signal and wait for their ends; they stay down."""
        names = list(names)
        for name in names:
            slot = self.slots[name]
            self._sample(slot)
            slot.due_s = None
            if slot.worker.pid is not None:
                slot.worker.send(sig)
        for name in names:
            self._ended(name)

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        slot = self.slots[name]
        if slot.worker.pid is not None:
            slot.worker.send(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        slot = self.slots[name]
        if slot.worker.pid is not None:
            slot.worker.send(signal.SIGCONT)

    def owns_each_once(self, partitions: int) -> bool:
        """Tell whether all are ready, and between them own every partition, each of them one."""
        owned: list[str] = []
        for name in self.wanted():
            worker = self.slots[name].worker
            if worker.pid is None or not worker.is_ready():
                return False
            owned += worker.partitions()
            spilled = worker.held_bytes().get("rocksdb", 0)
            self.spilled_bytes = max(self.spilled_bytes, spilled)
        return sorted(owned) == sorted(map(str, range(partitions)))

    def state(self) -> str:
        """Return what can be seen of each worker."""
        return "; ".join(
            f"{name}: pid {slot.worker.pid}, ready {slot.worker.is_ready()}, "
            f"owns {sorted(slot.worker.partitions(), key=int)}"
            for name, slot in self.slots.items()
            if slot.worker.pid is not None
        )

    def last_words(self) -> None:
        """Have each that runs write all of its stacks to its log, and end; say the logs' ends."""
        for slot in self.slots.values():
            if slot.worker.pid is not None:
                slot.worker.send(signal.SIGABRT)
        time.sleep(2)
        for name, slot in self.slots.items():
            self.say(f"{name}'s log ends with:\n{slot.worker.log_tail(LAST_LINES)}")

    def close(self) -> None:
        for slot in self.slots.values():
            slot.worker.close()

    def _supervise(self, name: str, slot: Slot) -> None:
        if slot.worker.pid is not None:
            code = slot.worker.ended()
            if code is None:
                return
            slot.worker.forget()
            self.exits[code] += 1
            self.say(f"{name} ended by itself with {code}: {_why(slot.worker)}")
            if code not in RESTARTED:
                raise StuckError(f"{name} ended by itself with {code}")
            self.start(name, after_s=RESTART_AFTER_S)
        elif slot.due_s is not None and time.monotonic() >= slot.due_s:
            slot.due_s = None
            slot.worker.start()

    def _ended(self, name: str) -> None:
        worker = self.slots[name].worker
        until_s = time.monotonic() + END_TIMEOUT_S
        while worker.pid is not None:
            code = worker.ended()
            if code is not None:
                worker.forget()
                self.told[code] += 1
                if code not in (0, -signal.SIGKILL):
                    self.say(f"{name} was told to end and did with {code}: {_why(worker)}")
            elif time.monotonic() > until_s:
                raise StuckError(f"{name} did not end within {END_TIMEOUT_S:.0f} s")
            else:
                time.sleep(TICK_S / 4)

    def _sample(self, slot: Slot) -> None:
        if slot.worker.pid is None:
            return
        try:
            status = Path(f"/proc/{slot.worker.pid}/status").read_text()
        except OSError:
            return  # it has just ended
        for line in status.splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                slot.peak_rss_bytes = max(slot.peak_rss_bytes, int(value.split()[0]) * 1024)


def _why(worker: WorkerProcess) -> str:
    """Return the beginning of its last words."""
    for line in reversed(worker.log_tail(20).splitlines()):
        if line.startswith("{") and (said := json.loads(line)).get("level") == "critical":
            return str(said["event"])[:150]
    return worker.log_tail(1)[:150]
