"""The lag dashboard while a worker is killed, and while workers join: real Kafka, real Prometheus.

What is asserted is what the panels' own queries answer, and that no trace was lost or came twice.
Each worker may read a bounded number of records a second, by a quota of the broker: so lag takes
its time on any machine, and a worker more is worth as much on one core as on a machine of its own.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.harness.broker import NoBrokerError, running_broker
from tests.harness.kafka_jars import kafka_version
from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import PARTITIONS, wait_for
from tests.harness.verify import (
    decisions_complete,
    nothing_missing_and_nothing_twice,
    read_back,
    whole_and_unchanged,
)
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided
from tests.real.prometheus_build import Binaries
from tests.real.report import Report
from tests.real.watched import Watched, watched

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

RULES = Rules(decision_wait_ms=4000, slow_ms=1000, percentage=5)
SPANS_A_RECORD = 5.0
LIVE_A_SECOND = 100
SURVIVORS_CAP = 145
JOINERS_CAP = 60
BURST_A_SECOND, BACKLOG_S = 240, 50
PHASE_S = 18
SECTION = "Lag"
GRAPHS = (
    "Lag in seconds",
    "Lag in records",
    "Retention left before loss",
    "Time to catch up",
    "Spans read",
    "Partitions",
    "Replay still to be read",
    "Replay debt",
)


@pytest.fixture(scope="module")
def broker(report: Report) -> Iterator[str]:
    """Give a Kafka of our own: with quotas that are kept over three seconds, not over ten."""
    try:
        with running_broker(own=True, properties={"quota.window.num": "4"}) as own:
            report.ran("Apache Kafka", kafka_version())
            yield own.bootstrap
    except NoBrokerError as none:
        pytest.fail(str(none), pytrace=False)


def test_lag_grows_when_a_worker_is_killed_and_burns_down_when_another_has_its_partitions(
    broker: str, prometheus: Binaries, report: Report, tmp_path: Path
) -> None:
    spans = round(600 * LIVE_A_SECOND * SPANS_A_RECORD)
    records = Load(spans=spans, duration_s=600, late_after_s=6, seed=11).records()
    with watched(broker, prometheus, tmp_path, rules=RULES, records=records, workers=2) as run:
        first, second = run.workers
        sender = Sender(broker, run.topics.input, records)
        started(run.workers, run, cap=SURVIVORS_CAP)
        wait_for("halves", partial(is_shared, run.workers), timeout_s=200)
        calm_s = run.mark("load starts")
        sender.start()
        wait_for("half a minute of load", lambda: sender.share_sent > 0.05, timeout_s=200)
        orphans = second.partitions()
        assert len(orphans) == PARTITIONS // 2

        killed_s = run.mark("worker-2: kill -9")
        second.kill()
        wait_for("the rest", lambda: len(first.partitions()) == PARTITIONS, timeout_s=200)
        taken_s = run.mark("worker-1 has them")
        live = 2 * LIVE_A_SECOND
        wait_for("lag burnt down", lambda: run.number("Records to read") < live, timeout_s=600)
        burnt_s = run.mark("caught up")
        wait_for("no time left", lambda: run.number("Time to catch up") == 0, timeout_s=120)
        run.scraped()
        sender.stop()
        sender.finish()
        wait_until_all_is_decided(run.topics, [first])
        run.scraped()
        picture = run.picture(
            tmp_path / "lag-after-kill.png",
            f"Tailstream / Lag: {LIVE_A_SECOND} records a second come in; one of two workers is "
            f"killed (each may read {SURVIVORS_CAP} records a second at most)",
            GRAPHS,
        )
        report.picture(SECTION, picture, "A worker is killed, another takes over and catches up.")

        (total,) = run.told("Records to read", calm_s, burnt_s, kind="stat")
        grown = [total.at(killed_s), total.at(taken_s), max(total.between(killed_s, burnt_s))]
        assert grown[0] < grown[1] <= grown[2]
        assert total.points[-1][1] < grown[2] / 3
        never_missing(run, orphans, killed_s, taken_s)
        (debt,) = run.told("Replay debt", calm_s, burnt_s, kind="stat")
        assert max(debt.between(calm_s, killed_s)) > 0
        (catch_up,) = run.told("Time to catch up", taken_s, burnt_s, kind="stat")
        shown = [value for _, value in catch_up.points if 0 < value < math.inf]
        assert shown
        assert run.number("Spans unaccounted for", "tailstream-sampling") == 0
        report.found(
            SECTION,
            "a worker of two is killed",
            f"{grown[0]:,.0f} records to read, {grown[2]:,.0f} at most, below {live:,.0f} again "
            f"{burnt_s - killed_s:.0f} s after the kill, {burnt_s - taken_s:.0f} s after the "
            "takeover; nothing missing, nothing twice",
        )
        all_is_right(run)


def test_lag_falls_faster_with_each_worker_that_joins(
    broker: str, prometheus: Binaries, report: Report, tmp_path: Path
) -> None:
    spans = round(BACKLOG_S * BURST_A_SECOND * SPANS_A_RECORD)
    records = Load(spans=spans, duration_s=BACKLOG_S, late_after_s=6, seed=12).records()
    with watched(broker, prometheus, tmp_path, rules=RULES, records=records, workers=3) as run:
        one, *joiners = run.workers
        started([one], run, cap=JOINERS_CAP)
        sender = Sender(broker, run.topics.input, records)
        run.mark("load starts")
        sender.start()
        wait_for("all is sent", lambda: sender.is_done, timeout_s=300)
        sender.finish()
        phases = [worked_off(run, [one], run.mark("load ends"))]
        for number, joiner in enumerate(joiners, 2):
            run.mark(f"worker-{number} starts")
            started([joiner], run, cap=JOINERS_CAP)
            team = run.workers[:number]
            wait_for("a share for each", partial(is_shared, team), timeout_s=200)
            phases.append(worked_off(run, team, run.mark(f"{number} share")))
        wait_until_all_is_decided(run.topics, [*run.workers], timeout_s=400)
        run.scraped()
        picture = run.picture(
            tmp_path / "lag-while-workers-join.png",
            "Tailstream / Lag: a backlog; a second and a third worker join (each may read "
            f"{JOINERS_CAP} records a second at most)",
            GRAPHS,
        )
        report.picture(SECTION, picture, "A second and a third worker join, each with a cap.")

        speeds = [phase.records_a_second for phase in phases]
        assert [phase.shares for phase in phases] == [[8], [4, 4], [2, 3, 3]]
        assert speeds[0] > 0
        assert speeds[1] > 1.2 * speeds[0]
        assert speeds[2] > 1.5 * speeds[0]
        assert run.number("Spans unaccounted for", "tailstream-sampling") == 0
        fell = ", ".join(f"{speed:.0f}" for speed in speeds)
        what = f"lag falls with one, two, three workers, each capped at {JOINERS_CAP} records/s"
        report.found(SECTION, what, f"{fell} records/s; nothing missing, nothing twice")
        all_is_right(run)


@dataclass(frozen=True, slots=True)
class Phase:
    """How fast lag fell while so many partitions were each worker's."""

    records_a_second: float
    shares: list[int]


def worked_off(run: Watched, team: Sequence[WorkerProcess], begun_s: float) -> Phase:
    """Return when as much has been worked off as they should in some seconds."""
    run.scraped()
    until = run.number("Records to read") - len(team) * PHASE_S * JOINERS_CAP
    assert until > 0, "the backlog is too small"
    wait_for("a part of it", lambda: run.number("Records to read") <= until, timeout_s=300)
    end_s = time.time()
    (total,) = run.told("Records to read", begun_s, end_s, kind="stat")
    (first_s, at_first), (last_s, at_last) = total.points[0], total.points[-1]
    shares = sorted(len(worker.partitions()) for worker in team)
    return Phase((at_first - at_last) / (last_s - first_s), shares)


def is_shared(team: Sequence[WorkerProcess]) -> bool:
    """Tell whether each has some of the partitions, and none is between two of them."""
    shares = [len(worker.partitions()) for worker in team]
    return min(shares) > 0 and sum(shares) == PARTITIONS


def started(workers: Sequence[WorkerProcess], run: Watched, *, cap: int) -> None:
    """Start them, each with its cap, and wait until they are ready."""
    for worker in workers:
        run.cap(worker, cap)
        worker.start()
    for worker in workers:
        worker.wait_until_ready()


def never_missing(run: Watched, orphans: set[str], killed_s: float, taken_s: float) -> None:
    """What nobody reads stays on the panels, and its lag grows in records and in seconds."""
    for title in ("Lag in records", "Lag in seconds"):
        told = run.told(title, killed_s, taken_s)
        lines = [line for line in told if line.name in orphans]
        assert {line.name for line in lines} == orphans, title
        for line in lines:
            values = line.between(killed_s, taken_s)
            # It is told by others after two looks of theirs, a second apart.
            assert len(values) > (taken_s - killed_s) / 2, f"{title}: {line.name} has a gap"
            assert values[-1] > values[0], f"{title}: {line.name} does not grow"


def all_is_right(run: Watched) -> None:
    """Each trace that was to be kept came out whole and once, and has one verdict, the right."""
    written = read_back(run.topics)
    expectation = written.expectation(RULES)
    assert len(expectation.kept) > 100
    nothing_missing_and_nothing_twice(written, expectation)
    whole_and_unchanged(written, expectation, RULES)
    decisions_complete(written, expectation)
