"""Workers that are watched: a Prometheus that scrapes them, and notes of what was done to them."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.harness.client_quota import set_consume_quota
from tests.harness.load import Planned
from tests.harness.oracle import Rules
from tests.harness.topics import Topics, topics_of_a_test, wait_for
from tests.harness.worker import WorkerProcess
from tests.real.drawing import Drawn, Mark, draw
from tests.real.panels import Line, lines, panel
from tests.real.prometheus_build import Binaries
from tests.real.prometheus_server import Prometheus

LAG = "tailstream-lag"
OVERHEAD_BYTES = 75
"""Of a record that is a batch of its own, as it is fetched."""
CLIENT = {"fetch.message.max.bytes": "8192", "max.poll.interval.ms": "60000"}
"""Small fetches, so that a broker that holds back a client above its quota does so evenly."""
SESSION = "30s"
SCRAPES_S = 3.0


@dataclass(slots=True)
class Watched:
    """Workers of one group, by their order, on a load of their own, and who watches them."""

    topics: Topics
    workers: Sequence[WorkerProcess]
    prometheus: Prometheus
    record_bytes: float
    start_s: float
    marks: list[Mark] = field(default_factory=list)

    def mark(self, what: str) -> float:
        """Note that this is done now; return when that is."""
        now_s = time.time()
        self.marks.append(Mark(now_s, what))
        return now_s

    def cap(self, worker: WorkerProcess, records_a_second: float) -> None:
        """Let it read no more than about so many records a second: a quota of the broker's."""
        client_id = f"tailstream-{worker.instance_id}"
        quota = round(records_a_second * self.record_bytes)
        set_consume_quota(self.topics.bootstrap, client_id, quota)

    def number(self, title: str, dashboard: str = LAG) -> float:
        """Return what a stat of a dashboard says now; not a number where it says nothing."""
        now_s = time.time()
        told = self.told(title, now_s - 5, now_s, kind="stat", dashboard=dashboard)
        return told[0].points[-1][1] if told else math.nan

    def told(
        self,
        title: str,
        start_s: float,
        end_s: float,
        *,
        kind: str = "timeseries",
        dashboard: str = LAG,
    ) -> list[Line]:
        """Return what a panel draws of that time."""
        return lines(self.prometheus, panel(dashboard, title, kind), start_s, end_s)

    def picture(self, path: Path, title: str, graphs: Sequence[str]) -> Path:
        """Draw what was so far: the numbers of the lag dashboard, and these of its graphs."""
        end_s = time.time()
        draw(
            path,
            title,
            stats=[self._drawn(one, "stat", end_s) for one in STATS],
            graphs=[self._drawn(one, "timeseries", end_s) for one in graphs],
            marks=self.marks,
            span_s=(self.start_s, end_s),
        )
        return path

    def scraped(self) -> None:
        """Return when what is so now has been scraped."""
        until_s = time.time() + SCRAPES_S
        wait_for("scrapes", lambda: time.time() > until_s, timeout_s=30)

    def _drawn(self, title: str, kind: str, end_s: float) -> Drawn:
        told = self.told(title, self.start_s, end_s, kind=kind)
        assert told, f"{title}: empty"
        return Drawn(panel(LAG, title, kind), told)


STATS = (
    "Behind",
    "Records to read",
    "Time to catch up",
    "Replay debt",
    "Retention left",
    "Partitions read",
)


@contextmanager
def watched(
    bootstrap: str,
    binaries: Binaries,
    home: Path,
    *,
    rules: Rules,
    records: Sequence[Planned],
    workers: int,
) -> Iterator[Watched]:
    """Give workers that do not run yet, and a Prometheus that will scrape them, on fresh topics."""
    with ExitStack() as running:
        topics = running.enter_context(topics_of_a_test(bootstrap))
        retain(topics, minutes=20)
        team = [
            WorkerProcess(
                topics,
                rules,
                home,
                slot=f"worker-{number}",
                instance_id=f"{topics.prefix}-{number}",
                kafka=CLIENT,
                more={"worker": {"session_timeout": SESSION}},
            )
            for number in range(1, workers + 1)
        ]
        for worker in team:
            running.callback(worker.close)
        addresses, names = [one.address for one in team], [one.slot for one in team]
        server = Prometheus(binaries.prometheus, {"": addresses}, home, names=names)
        running.callback(server.close)
        server.wait()
        size = sum(len(one.key) + len(one.value) + OVERHEAD_BYTES for one in records) / len(records)
        yield Watched(topics, team, server, size, time.time())


def retain(topics: Topics, *, minutes: int) -> None:
    """Let the input keep its records for so long: short, so that it can be seen to come near."""
    milliseconds = str(minutes * 60_000)
    entry = ConfigEntry("retention.ms", milliseconds, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topics.input, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": topics.bootstrap, "log_level": 4})
    for changed in admin.incremental_alter_configs([resource]).values():
        changed.result(30)
