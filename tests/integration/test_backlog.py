"""Lag does not change verdicts: what a worker decided live, one that comes late decides as well.

BACKLOG_SPANS=1000000 makes it a long run (traces have 9 spans on average) and `-s` shows its
figures.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import pytest
from confluent_kafka.admin import AdminClient

from tests.harness.load import Load
from tests.harness.oracle import Rules, traces_of
from tests.harness.reading import Stored, read_whole
from tests.harness.sender import Sender
from tests.harness.topics import REQUEST_TIMEOUT_S, Topics, create_topics, topics_of_a_test
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

SPANS = int(os.environ.get("BACKLOG_SPANS", "120000"))
SPANS_A_SECOND = 10_000
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300 + SPANS / 500)]
RULES = Rules(decision_wait_ms=2000, slow_ms=1000, percentage=5)
IDLE_GRACE_MS = 500
TIMEOUT_S = 60 + SPANS / 2_000
SAME_ALWAYS = (
    *("verdict", "policy", "trigger", "th", "spans", "duplicates", "dead_lettered", "errors"),
    *("duration_us", "complete", "upto", "offsets", "offset_range", "span_ids"),
)


@dataclass(frozen=True)
class OwnTopics(Topics):
    """The topics and the group of one more reader of the same input."""

    shared: str

    @property
    def input(self) -> str:
        return self.shared


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker wrote: decisions by trace, late ones summed up, and the output."""

    decisions: dict[bytes, dict[str, Any]]
    late_spans: Counter[bytes]
    clocks: Counter[str]
    output: Counter[tuple[bytes, bytes, bytes]]


@pytest.fixture
def live(kafka: str) -> Iterator[Topics]:
    with topics_of_a_test(kafka) as fresh:
        yield fresh


@pytest.fixture
def late(live: Topics) -> Iterator[Topics]:
    own = OwnTopics(live.bootstrap, f"{live.prefix}_late", live.input)
    names = [name for name in own.all() if name != live.input]
    create_topics(live.bootstrap, names)
    yield own
    admin = AdminClient({"bootstrap.servers": live.bootstrap, "log_level": 4})
    for deleted in admin.delete_topics(names).values():
        deleted.result(REQUEST_TIMEOUT_S)


def test_a_backlog_read_at_full_speed_gives_the_verdicts_cuts_and_output_of_live_traffic(
    live: Topics, late: Topics, tmp_path: Path
) -> None:
    duration_s = SPANS / SPANS_A_SECOND
    load = Load(spans=SPANS, duration_s=duration_s, late_after_s=2.4).records()
    sender = Sender(live.bootstrap, live.input, load)
    with ExitStack() as workers:
        punctual, belated = (
            workers.enter_context(running(topics, tmp_path, slot))
            for topics, slot in ((live, "live"), (late, "late"))
        )
        punctual.start()
        punctual.wait_until_ready()
        sender.start()
        sender.finish()
        lived = len(decided(live))
        wait_until_all_is_decided(live, [punctual], timeout_s=TIMEOUT_S)
        on_time, accounts = told(live), punctual.accounts()
        punctual.terminate()

        started_s = time.monotonic()
        belated.start()
        wait_until_all_is_decided(late, [belated], timeout_s=TIMEOUT_S)
        took_s = time.monotonic() - started_s
        in_hindsight, accounts_late = told(late), belated.accounts()
        belated.terminate()

    print(f"\n{accounts['received']} spans, {len(on_time.decisions)} traces; {took_s:.0f} s late;")
    print(f"decided before the last record was sent: {lived}; clocks: live {on_time.clocks}, ")
    print(f"late {in_hindsight.clocks}")
    assert lived > len(on_time.decisions) // 4, "it was a backlog, too"
    assert accounts["received"] >= SPANS
    assert accounts == accounts_late
    assert in_hindsight.clocks["log"] > len(on_time.decisions) // 4
    assert differing(on_time, in_hindsight) == []
    assert on_time.late_spans == in_hindsight.late_spans
    assert on_time.late_spans.total() > 0
    assert on_time.output == in_hindsight.output


def test_the_wall_clock_decides_an_idle_partition_not_before_its_deadline_and_grace(
    live: Topics, tmp_path: Path
) -> None:
    with running(live, tmp_path, "idle") as worker:
        worker.start()
        worker.wait_until_ready()
        sender = Sender(
            live.bootstrap,
            live.input,
            Load(spans=1_000, duration_s=0.5, late_after_s=2.4).records(),
        )
        sender.start()
        sender.finish()
        wait_until_all_is_decided(live, [worker])
        worker.terminate()
    first_ms = first_times(read_whole(live.bootstrap, live.input))
    late_ms = sorted(
        record.timestamp_ms - first_ms[decision["trace_id"]] - RULES.decision_wait_ms
        for record, decision in decided(live)
        if decision["clock"] == "wall" and decision["trigger"] != "late"
    )
    print(
        f"\ncommitted after the deadline, ms: {late_ms[len(late_ms) // 2]}, at most {late_ms[-1]}"
    )
    assert len(late_ms) > 40
    assert late_ms[0] >= IDLE_GRACE_MS


@contextmanager
def running(topics: Topics, directory: Path, slot: str) -> Iterator[WorkerProcess]:
    """Give a worker to start; it ends with the test."""
    worker = WorkerProcess(topics, RULES, directory, slot=slot)
    try:
        yield worker
    finally:
        worker.close()


def decided(topics: Topics) -> list[tuple[Stored, dict[str, Any]]]:
    records = read_whole(topics.bootstrap, topics.decisions)
    return [(record, msgpack.unpackb(record.value)) for record in records]


def told(topics: Topics) -> Told:
    decisions: dict[bytes, dict[str, Any]] = {}
    late_spans: Counter[bytes] = Counter()
    clocks: Counter[str] = Counter()
    for _, decision in decided(topics):
        trace_id = decision["trace_id"]
        if decision["trigger"] == "late":
            late_spans[trace_id] += decision["spans"]
            continue
        assert trace_id not in decisions, "two verdicts"
        decisions[trace_id] = {name: decision.get(name) for name in SAME_ALWAYS}
        clocks[decision["clock"]] += 1
    output = Counter(
        (record.key, record.headers["tailstream.delivery"], hashlib.sha256(record.value).digest())
        for record in read_whole(topics.bootstrap, topics.output)
        # What came late goes out as it came: two records at once, or one after the other.
        if record.headers["tailstream.trigger"] != b"late"
    )
    return Told(decisions, late_spans, clocks, output)


def differing(one: Told, other: Told) -> list[str]:
    """Return the first traces that were not decided alike, and how."""
    found = []
    for trace_id in one.decisions.keys() | other.decisions.keys():
        mine, theirs = one.decisions.get(trace_id, {}), other.decisions.get(trace_id, {})
        if mine != theirs:
            how = {
                n: (mine.get(n), theirs.get(n)) for n in SAME_ALWAYS if mine.get(n) != theirs.get(n)
            }
            found.append(f"{trace_id.hex()}: {how}")
    return found[:3]


def first_times(records: list[Stored]) -> dict[bytes, int]:
    """Return the partition's time at the first record of each trace."""
    found: dict[bytes, int] = {}
    times_ms: dict[int, int] = {}
    for record in records:
        time_ms = max(record.timestamp_ms, times_ms.get(record.partition, 0))
        times_ms[record.partition] = time_ms
        for trace_id in traces_of(record.value)[0]:
            found.setdefault(trace_id, time_ms)
    return found
