"""What one scrape of a worker's metrics says, it says of one moment."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.measurements import OUTCOMES
from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import topics_of_a_test, wait_for
from tests.harness.worker import WorkerProcess

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=1000, slow_ms=1000, percentage=5)
GAUGES = ("open_traces", "open_spans", "lag_records", "replay_debt_records")
LAW = tuple(outcome for outcome in OUTCOMES if outcome not in {"replayed", "promoted"})
Scrape = dict[tuple[str, str], float]


def test_every_scrape_adds_up_from_the_first_one_after_ready(kafka: str, tmp_path: Path) -> None:
    with topics_of_a_test(kafka) as topics:
        worker = WorkerProcess(topics, RULES, tmp_path, slot="w")
        sender = Sender(
            topics.bootstrap,
            topics.input,
            Load(spans=20_000, duration_s=6, late_after_s=1.4, seed=1).records(),
        )
        try:
            worker.start()
            worker.wait_until_ready()
            first = scrape(worker)
            sender.start()
            scrapes = [first]
            while sender.share_sent < 1:
                scrapes.append(scrape(worker))
            sender.finish()
            wait_for(
                "a kept trace",
                lambda: scrape(worker)["spans_total", "sampled"] > 0,
                timeout_s=30,
            )
            scrapes.append(scrape(worker))
        finally:
            worker.close()

    owned = {label for name, label in first if name == "open_traces"}
    assert owned
    assert {(gauge, number) for gauge in GAUGES for number in owned} <= first.keys()
    assert [said for said in scrapes if received(said) != accounted_for(said)] == []
    assert max(open_spans(said) for said in scrapes) > 0
    assert received(scrapes[-1]) > open_spans(scrapes[-1])


def scrape(worker: WorkerProcess) -> Scrape:
    _, text = worker.get("/metrics")
    return {
        (sample.name.removeprefix("tailstream_"), "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def received(said: Scrape) -> float:
    return said["spans_received_total", ""]


def open_spans(said: Scrape) -> float:
    return sum(value for (name, _), value in said.items() if name == "open_spans")


def accounted_for(said: Scrape) -> float:
    return sum(said["spans_total", outcome] for outcome in LAW) + open_spans(said)
