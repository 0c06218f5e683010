"""`make exemplar-run`: every trace that an exemplar points at is in the output, whole and once.

Two workers and `tailstream exemplars` on a real Kafka; whole traces at a steady rate, most of which
no policy keeps; metrics with exemplars every 10 s, when the window (5 s) of most traces that they
point at is over. With --kill-every-s a worker and `tailstream exemplars` get a kill -9 in turn.
"""

import argparse
import contextlib
import functools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from random import Random

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from rich.console import Console

from tests.chaos import exemplar_report
from tests.chaos.exemplar_laws import ExemplarRan, hold_exemplars, law_by_metrics
from tests.chaos.exemplar_traffic import ExemplarTraffic, Shape
from tests.chaos.exemplar_watch import OutputWatch
from tests.chaos.fleet import TOLD_TO_END, Fleet, StuckError
from tests.chaos.laws import hold
from tests.chaos.run import SENDER
from tests.chaos.schedule import SLOTS
from tests.chaos.traffic import SPANS_A_TRACE
from tests.harness.broker import GivenBroker, NoBrokerError, running_broker
from tests.harness.exemplars_process import ExemplarsProcess
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import (
    PARTITIONS,
    GroupOffsets,
    Topics,
    ends_of,
    metrics_topic_of,
    topics_of_a_test,
)
from tests.harness.worker import WorkerProcess

DECISION_WAIT_S = 5.0
POLICIES_PERCENTAGE = 1
METRICS_PARTITIONS = 2
# Not a promise of speed: what is not there by then hangs.
STUCK_AFTER_S = 300.0
RESTART_AFTER_S = 1.0
# A kill comes so soon after its time, in shares of the interval: mostly after an export, while the
# pins and promotions of that are under way.
KILL_WITHIN = 0.15
EXEMPLARS = "exemplars"


class ExemplarRun:
    """One run. `kill_every_s` of 0: nobody is killed."""

    def __init__(
        self,
        bootstrap: str,
        home: Path,
        shape: Shape,
        *,
        decision_wait_s: float = DECISION_WAIT_S,
        kill_every_s: float = 0.0,
        seed: int = 1,
        say: Callable[[str], None],
    ) -> None:
        rules = Rules(round(1000 * decision_wait_s), 1_000, POLICIES_PERCENTAGE)
        self.ran = ExemplarRan(seed, shape, rules, kill_every_s)
        self._bootstrap = bootstrap
        self._home = home
        self._write = say
        self._started_s = time.monotonic()
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._kill_at = Random(f"kills {seed}")
        self._victims = cycle((SLOTS[0], EXEMPLARS, SLOTS[1], EXEMPLARS))
        self._pinner_due_s: float | None = None

    def run(self) -> ExemplarRan:
        """Run and compare. What broke is in the answer; a hang raises StuckError."""
        ran = self.ran
        with (
            topics_of_a_test(self._bootstrap) as topics,
            metrics_topic_of(topics, partitions=METRICS_PARTITIONS) as metrics_topic,
        ):
            # The workers' memory is for that traffic's traces; these are as many, but smaller.
            spans_a_s = ran.shape.traces_a_s * SPANS_A_TRACE
            fleet = Fleet.of(topics, ran.rules, self._home, self._say, spans_a_s=spans_a_s)
            pinner = ExemplarsProcess(topics, self._home)
            watch = OutputWatch(self._bootstrap, topics.output)
            traffic = ExemplarTraffic(ran.seed, ran.shape, metrics_topic=metrics_topic)
            watch.start()
            try:
                self._send_and_kill(topics, fleet, pinner, traffic)
            except StuckError:
                self._say(f"{fleet.state()}; exemplars' log ends with:\n{pinner.log_tail()}")
                fleet.last_words()
                raise
            finally:
                watch.stop()
                fleet.close()
                pinner.close()
            ran.seconds = self._now_s()
            ran.exits = fleet.exits + fleet.told
            self._compare(topics, traffic, watch)
        return ran

    def _send_and_kill(
        self, topics: Topics, fleet: Fleet, pinner: ExemplarsProcess, traffic: ExemplarTraffic
    ) -> None:
        sender = Sender(topics.bootstrap, topics.input, traffic, kafka=SENDER, steady=True)
        pinner.start()
        for slot in SLOTS:
            fleet.start(slot)
        self._until(
            "every partition owned", fleet, pinner, lambda: fleet.owns_each_once(PARTITIONS)
        )
        cpu_before_s = _cpu_s(fleet)
        self._say("all ready: sending")
        sender.start()
        self._kill_until_sent(sender, fleet, pinner)
        sender.finish()
        self._say("nothing more is sent")
        self._until_all_is_done(topics, fleet, pinner)
        if not self.ran.kills:
            self.ran.cpu_s = _cpu_s(fleet) - cpu_before_s
        workers = [fleet.slots[slot].worker for slot in SLOTS]
        self.ran.broken += filter(None, map(law_by_metrics, workers))
        self.ran.read_again_records = _total(workers, "tailstream_promotion_records_total")
        self.ran.read_again_bytes = _total(workers, "tailstream_promotion_bytes_total")
        fleet.end(fleet.wanted(), signal.SIGTERM)
        pinner.terminate()

    def _kill_until_sent(self, sender: Sender, fleet: Fleet, pinner: ExemplarsProcess) -> None:
        began_s, every_s = self._now_s(), self.ran.kill_every_s
        kills = 1
        due_s = every_s * (1 + self._kill_at.uniform(0, KILL_WITHIN))
        while not sender.is_done:
            self._tick(fleet, pinner)
            if every_s and self._now_s() - began_s >= due_s:
                self._kill(next(self._victims), fleet, pinner)
                kills += 1
                due_s = every_s * (kills + self._kill_at.uniform(0, KILL_WITHIN))

    def _kill(self, victim: str, fleet: Fleet, pinner: ExemplarsProcess) -> None:
        self._say(f"kill -9: {victim}")
        self.ran.kills[victim] += 1
        if victim == EXEMPLARS:
            pinner.kill()
            self._pinner_due_s = self._now_s() + RESTART_AFTER_S
        else:
            fleet.end([victim], signal.SIGKILL)
            fleet.start(victim, after_s=RESTART_AFTER_S)

    def _tick(self, fleet: Fleet, pinner: ExemplarsProcess) -> None:
        fleet.tick()
        if pinner.runs:
            pinner.assert_runs()
        elif self._pinner_due_s is not None and self._now_s() >= self._pinner_due_s:
            self._pinner_due_s = None
            pinner.start()

    def _until(
        self, what: str, fleet: Fleet, pinner: ExemplarsProcess, reached: Callable[[], bool]
    ) -> None:
        until_s = self._now_s() + STUCK_AFTER_S
        while not reached():
            self._tick(fleet, pinner)
            if self._now_s() > until_s:
                raise StuckError(f"not within {STUCK_AFTER_S:.0f} s: {what}")

    def _until_all_is_done(self, topics: Topics, fleet: Fleet, pinner: ExemplarsProcess) -> None:
        """Every pin is in the input, then every trace decided and every promotion committed."""
        offsets = {
            f"{topics.group}-exemplars": topics.metrics,
            f"{topics.group}-position": topics.input,
            topics.group: topics.input,
        }
        for group, topic in offsets.items():
            committed = GroupOffsets(topics.bootstrap, group, topic)
            ends = {number: end for number, end in ends_of(self._admin, topic).items() if end}
            reached = functools.partial(_reached, committed, ends)
            self._until(f"{group} at its end", fleet, pinner, reached)
            self._say(f"{group} is at the end of {topic}")
        self._until(
            "every partition owned", fleet, pinner, lambda: fleet.owns_each_once(PARTITIONS)
        )

    def _compare(self, topics: Topics, traffic: ExemplarTraffic, watch: OutputWatch) -> None:
        ran = self.ran
        self._wait_until_stable(topics)
        self._say("comparing")
        hold_exemplars(ran, topics, traffic, watch.readable_ms)
        ran.account = hold(topics, ran.rules, PARTITIONS, hints_dropped=0)
        ran.broken += ran.account.broken
        if partial := ran.account.triggers.get("promoted_partial", 0):
            ran.broken.append(f"{partial} promotions were partial")
        for code, count in ran.exits.items():
            if code not in TOLD_TO_END:
                ran.broken.append(f"{count} workers ended with exit code {code}")

    def _wait_until_stable(self, topics: Topics) -> None:
        """A `read_committed` reader would take an open transaction for the end of the log."""
        until_s = time.monotonic() + STUCK_AFTER_S
        for topic in topics.all():
            while ends_of(self._admin, topic) != ends_of(self._admin, topic, stable=True):
                if time.monotonic() > until_s:
                    raise StuckError(f"a transaction on {topic} stays open")
                time.sleep(0.5)

    def _say(self, text: str) -> None:
        self._write(f"[{self._now_s():7.1f} s] {text}")

    def _now_s(self) -> float:
        return time.monotonic() - self._started_s


def _reached(offsets: GroupOffsets, ends: dict[int, int]) -> bool:
    try:
        committed = offsets.committed()
    except (KafkaException, TimeoutError):
        return False
    return all(committed.get(number, 0) >= end for number, end in ends.items())


def _total(workers: list[WorkerProcess], metric: str) -> int:
    """Return the sum of a counter, of the processes that run now."""
    return sum(int(value) for worker in workers for _, value in worker.samples(metric, ""))


def _cpu_s(fleet: Fleet) -> float:
    """Return what the workers that run have used of the processors so far."""
    ticks = 0
    for slot in fleet.slots.values():
        if slot.worker.pid is not None:
            stat = Path(f"/proc/{slot.worker.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(stat[11]) + int(stat[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run, print; exit code 1 if anything broke."""
    args = _arguments()
    console = Console(highlight=False)
    home = Path(tempfile.mkdtemp(prefix="tailstream-exemplars-"))
    shape = Shape(
        traces=args.traces,
        traces_a_s=args.traces_a_s,
        exemplars_an_export=args.exemplars,
        metrics_late_s=args.metrics_late_s,
        late_after_s=1.2 * DECISION_WAIT_S,
    )

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    given = contextlib.nullcontext(GivenBroker(args.bootstrap)) if args.bootstrap else None
    with given or running_broker() as broker:
        say(f"seed {args.seed}, Kafka at {broker.bootstrap}, logs in {home}")
        run = ExemplarRun(
            broker.bootstrap, home, shape, kill_every_s=args.kill_every_s, seed=args.seed, say=say
        )
        try:
            run.run()
        except StuckError as stuck:
            run.ran.broken.append(f"stuck: {stuck}")
    exemplar_report.show(run.ran, console)
    if run.ran.broken:
        say(f"FAILED with seed {args.seed}; what was said, by all: {home}")
        sys.exit(1)
    shutil.rmtree(home)
    say(f"every exemplar resolves to a whole trace (seed {args.seed})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.exemplar_run", description=__doc__)
    usual = Shape()
    parser.add_argument("--traces", type=int, default=usual.traces)
    parser.add_argument("--traces-a-s", type=float, default=usual.traces_a_s)
    parser.add_argument(
        "--exemplars", type=int, default=usual.exemplars_an_export, help="an export; 0: none"
    )
    parser.add_argument(
        "--metrics-late-s", type=float, default=0.0, help="exports look back so far"
    )
    parser.add_argument("--kill-every-s", type=float, default=0.0, help="0: nobody is killed")
    parser.add_argument("--seed", type=int, default=1, help="of what is sent, and when kills come")
    parser.add_argument("--bootstrap", help="a Kafka; none: as the tests find one")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except NoBrokerError as none:
        sys.exit(str(none))
