"""Every panel's query, on a real Prometheus that real workers have filled: no error, none empty.

The run has in it what a dashboard is looked at for: late and duplicate spans, dead letters, limits
that are reached, bodies that spill, a worker that joins, workers that are killed, a backlog that is
worked off at a bounded rate, a transaction that hangs.
"""

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from stream.sampling.control import CONTROL_HEADER, Pin, encode
from tests.harness.backend import LocalBackend, Reply
from tests.harness.beside import BesideProcess
from tests.harness.client_quota import set_consume_quota
from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.otlp_metrics import one_point
from tests.harness.sender import Sender
from tests.harness.topics import Topics, metrics_topic_of, topics_of_a_test, wait_for
from tests.harness.verify import Written, read_back
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided
from tests.real.panels import DASHBOARDS, asked, numbers
from tests.real.prometheus_build import Binaries
from tests.real.prometheus_server import Prometheus, Series

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

RULES: Final = Rules(decision_wait_ms=2000, slow_ms=1000, percentage=5)
SMALL: Final = {"memory": "2MiB", "disk": "64MiB"}
HELD_PARTITION: Final = 3
PIN_TTL_MS: Final = 600_000
"""Longer than a loaded machine takes to the spans of the traces that are pinned early."""
REPLAYED_BYTES_A_SECOND: Final = 20_000
CAUGHT_UP_BYTES_A_SECOND: Final = 500_000
SCRAPES_S: Final = 4.0
BUSY_ANSWERS: Final = 8
"""How often the backend is busy: with what the export waits in between, some seconds."""

ALWAYS_ZERO: Final = {"Spans unaccounted for": "the accounting law holds"}
MAY_BE_ZERO: Final = {
    "Aborted, 1 h": "a rebalance aborts a transaction now and then, not every time",
    "Decisions still to be read": "few decisions are read between two scrapes",
    "Exemplars, behind": "they are read faster than they are measured",
    "Rekey, behind": "it reads faster than it is measured",
}
"""Panels whose queries have series, and no values to speak of. All others rise above 0."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A Prometheus, from when to when it was filled, and what the topics hold."""

    prometheus: Prometheus
    start_s: float
    end_s: float
    written: Written
    topics: Topics

    def shown(self, expr: str) -> list[Series]:
        """Return what a panel would draw."""
        return self.prometheus.between(asked(expr), self.start_s, self.end_s)


@pytest.fixture(scope="module")
def filled(
    kafka: str, prometheus: Binaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Filled]:
    home = tmp_path_factory.mktemp("watched")
    with ExitStack() as running:
        topics = running.enter_context(topics_of_a_test(kafka))
        first, second = (a_worker(topics, home, slot) for slot in ("first", "second"))
        running.callback(first.close)
        running.callback(second.close)
        beside = running.enter_context(what_runs_beside(topics, home))
        targets = {"": [first.address, second.address]}
        targets |= {command: [process.address] for command, process in beside.items()}
        server = Prometheus(prometheus.prometheus, targets, home)
        running.callback(server.close)
        server.wait()
        start_s = time.time()
        fill(topics, first, second, server)
        for command, process in beside.items():
            assert process.returncode() is None, f"{command} ended:\n{process.log_tail()}"
        written = read_back(topics)
        end_s = time.time() + SCRAPES_S
        wait_for("scrapes after the end", lambda: time.time() > end_s, timeout_s=30)
        yield Filled(server, start_s, end_s, written, topics)


@contextmanager
def what_runs_beside(topics: Topics, home: Path) -> Iterator[dict[str, BesideProcess]]:
    """Run the three, the export against a backend that is busy at first.

    What rekey and exemplars write goes to a topic that no worker reads.
    """
    busy = LocalBackend(lambda _request, before: Reply(503 if 0 < before < BUSY_ANSWERS else 200))
    with (
        metrics_topic_of(topics, partitions=2) as metrics,
        topics_of_a_test(topics.bootstrap) as others,
        ExitStack() as running,
    ):
        running.callback(busy.close)
        settings: dict[str, dict[str, str]] = {
            "export": {"export.endpoint": busy.endpoint},
            "exemplars": {"topics.input": others.input},
            "rekey": {"topics.input": others.input, "topics.unkeyed": topics.input},
        }
        producer = Producer({"bootstrap.servers": topics.bootstrap})
        producer.produce(metrics, one_point(b"a trace of 16 by"))
        assert producer.flush(30) == 0
        beside = {}
        for command, more in settings.items():
            beside[command] = BesideProcess(command, topics, home, more)
            running.callback(beside[command].close)
        yield beside


def a_worker(topics: Topics, home: Path, slot: str) -> WorkerProcess:
    more: dict[str, dict[str, object]] = {
        "limits": {"open_traces_max": 150, "trace_spans_max": 40},
        "web": {"kafka_exporter_names": True},
    }
    name = f"{topics.group}-{slot}"  # a quota is the client's, whoever else runs tests here
    return WorkerProcess(topics, RULES, home, slot=slot, instance_id=name, storage=SMALL, more=more)


def fill(topics: Topics, first: WorkerProcess, second: WorkerProcess, server: Prometheus) -> None:
    """Let happen what a dashboard is looked at for."""
    records = Load(spans=40_000, duration_s=40, late_after_s=2.4, seed=3).records()
    sender = Sender(topics.bootstrap, topics.input, records)
    first.start()
    first.wait_until_ready()
    sender.start()
    wait_for("a part of the load", lambda: sender.share_sent > 0.2, timeout_s=60)
    second.start()
    second.wait_until_ready()
    wait_for("half of the load", lambda: sender.share_sent > 0.5, timeout_s=60)
    # Long decided, nearly all of them dropped; and not sent yet.
    pin(topics, [record.key for record in (*records[:400], *records[-200:])])
    second.kill()
    wait_for("its partitions", lambda: len(first.partitions()) == 8, timeout_s=60)
    first.kill()
    sender.finish()
    client_id = f"tailstream-{first.instance_id}"
    set_consume_quota(topics.bootstrap, client_id, REPLAYED_BYTES_A_SECOND)
    try:
        first.start()
        wait_for("a scrape of the replay", lambda: replays(server), timeout_s=60)
        set_consume_quota(topics.bootstrap, client_id, CAUGHT_UP_BYTES_A_SECOND)
        with transaction_that_hangs(topics):
            wait_for("it is seen", lambda: is_held(server), timeout_s=60)
        wait_until_all_is_decided(topics, [first])
    finally:
        set_consume_quota(topics.bootstrap, client_id, None)


def pin(topics: Topics, keys: Iterable[bytes]) -> None:
    """Ask for these traces."""
    producer = Producer({"bootstrap.servers": topics.bootstrap, "partitioner": "fnv1a_random"})
    for key in {*keys} - {b"0" * 32}:
        header = encode(Pin(bytes.fromhex(key.decode()), PIN_TTL_MS, "a test"))
        producer.produce(topics.input, b"", key, headers={CONTROL_HEADER: header})
    assert producer.flush(30) == 0


@contextmanager
def transaction_that_hangs(topics: Topics) -> Iterator[None]:
    """Keep a transaction open in a partition of the input; abort it at the end."""
    settings = {"bootstrap.servers": topics.bootstrap, "transactional.id": f"{topics.group}-open"}
    producer = Producer(settings)
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topics.input, b"never committed", partition=HELD_PARTITION)
    assert producer.flush(30) == 0
    yield
    producer.abort_transaction(30)


def replays(server: Prometheus) -> bool:
    return bool(server.now("sum(tailstream_replay_remaining_records) > 0"))


def is_held(server: Prometheus) -> bool:
    found = server.now("max by (partition) (tailstream_held_by_transaction_records) > 0")
    return [series["metric"]["partition"] for series in found] == [str(HELD_PARTITION)]


def queries() -> list[Any]:
    return [
        pytest.param(panel["title"], target, id=f"{name} {panel['title']} {target['refId']}")
        for name, dashboard in DASHBOARDS.items()
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]


@pytest.mark.parametrize(("title", "target"), queries())
def test_every_query_of_a_panel_shows_something(
    filled: Filled, title: str, target: dict[str, Any]
) -> None:
    values = [number for series in filled.shown(target["expr"]) for number in numbers(series)]

    assert values, "empty"
    if title in ALWAYS_ZERO:
        assert set(values) == {0}, ALWAYS_ZERO[title]
    elif title not in MAY_BE_ZERO:
        assert max(values) > 0, f"nothing but 0: {values}"


@pytest.mark.parametrize(
    ("title", "target"), [param for param in queries() if param.values[1]["exemplar"]]
)
def test_every_panel_with_exemplars_leads_to_traces_that_were_kept(
    filled: Filled, title: str, target: dict[str, Any]
) -> None:
    kept = {
        decision["trace_id"].hex()
        for _, decision in filled.written.decisions
        if decision["verdict"] == "sampled"
    }
    found = filled.prometheus.exemplars(asked(target["expr"]), filled.start_s, filled.end_s)
    shown = {exemplar["labels"]["trace_id"] for exemplar in found}

    assert len(shown) > 5, title
    assert shown <= kept


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_has_values_to_choose_from(filled: Filled, name: str) -> None:
    for variable in DASHBOARDS[name]["templating"]["list"]:
        if variable["type"] != "query":
            continue
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert found is not None
        assert filled.prometheus.label_values(asked(found[1]), found[2]), variable["name"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_annotation_marks_something(filled: Filled, name: str) -> None:
    for annotation in DASHBOARDS[name]["annotations"]["list"]:
        starts_ms = [n for s in filled.shown(annotation["expr"]) for n in numbers(s)]
        assert min(starts_ms) > (filled.start_s - 60) * 1000
        assert max(starts_ms) < filled.end_s * 1000


def test_every_alert_can_be_evaluated_and_none_of_a_bug_fires(filled: Filled) -> None:
    rules = filled.prometheus.rules()

    assert len(rules) > 10
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    firing = {rule["name"] for rule in rules if rule["state"] != "inactive"}
    assert "TailstreamAccountingBroken" not in firing
    assert "TailstreamDeadLetters" in firing, "the load has dead letters"


def test_lag_is_told_by_kafka_exporter_s_name_for_partitions_that_are_ours_alone(
    filled: Filled,
) -> None:
    (lag,) = filled.shown("sum by (consumergroup, topic) (kafka_consumergroup_lag)")
    owners = filled.prometheus.now("count by (partition) (kafka_consumergroup_lag)")

    assert lag["metric"] == {
        "consumergroup": f"{filled.topics.group}-position",
        "topic": filled.topics.input,
    }
    assert max(numbers(lag)) > 0
    assert numbers(lag)[-1] == 0
    assert [series["value"][1] for series in owners] == ["1"] * 8
