"""Exemplars to pins: each trace once, and no record is done before its pins are safe."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.exemplars.exemplar import Exemplar
from stream.exemplars.pins import PinRules, Pins
from stream.kafka.acknowledged import Acknowledged
from stream.kafka.control_records import ControlRecords, Target
from stream.kafka.record_producer import RecordProducer
from stream.metrics import EXEMPLARS_DECLARATIONS, Metrics
from stream.sampling.control import CONTROL_HEADER, Pin, decode
from tests.harness.handed_producer import HandedProducer

TTL_MS = 600_000
FIRST_MS = 1_790_000_000_000


@dataclass
class Run:
    """Pins over a producer whose acknowledgements the test hands out, and a clock it moves."""

    remembered_max: int = 1_000
    target: Target = field(default_factory=lambda: Target(topic="spans"))
    now_ms: int = FIRST_MS

    def __post_init__(self) -> None:
        self.producer = HandedProducer()
        self.metrics = Metrics(declarations=EXEMPLARS_DECLARATIONS)
        self.records = ControlRecords(self.target, cast("RecordProducer", self.producer))
        rules = PinRules(ttl_ms=TTL_MS, remembered_max=self.remembered_max)
        self.pins = Pins(self.records, rules, self.metrics, lambda: self.now_ms)

    def take(self, *numbers: int, **options: Any) -> None:
        exemplars = [Exemplar(id_of(number), self.now_ms - 5_000) for number in numbers]
        self.pins.take(exemplars, "kafka", **options)

    def pinned(self) -> list[Pin]:
        return [decode(one.key, dict(one.headers)[CONTROL_HEADER]) for one in self.producer.sent]

    def count(self, name: str, **labels: str) -> int:
        value = self.metrics.registry.get_sample_value(f"tailstream_{name}", labels)
        return int(value or 0)

    def outcomes(self) -> dict[str, int]:
        samples = self.metrics["exemplars"].collect()[0].samples
        return {
            sample.labels["outcome"]: int(sample.value)
            for sample in samples
            if sample.name.endswith("_total") and sample.labels["source"] == "kafka"
        }


def id_of(number: int) -> bytes:
    return number.to_bytes(16)


def test_a_trace_is_pinned_once_however_many_exemplars_point_at_it() -> None:
    run = Run()

    run.take(1, 2, 1, 1)
    run.producer.acknowledge()
    run.take(2, 3)
    run.producer.acknowledge()

    assert [pin.trace_id for pin in run.pinned()] == [id_of(1), id_of(2), id_of(3)]
    assert run.outcomes() == {"pinned": 3, "repeated": 3, "without_trace": 0, "invalid": 0}


def test_a_pin_is_a_control_record_with_the_trace_id_as_key() -> None:
    run = Run()

    run.take(0xABC)

    (record,) = run.producer.sent
    assert record.key == b"0" * 29 + b"abc"
    assert (record.topic, record.partition, record.value) == ("spans", None, b"")
    assert run.pinned() == [Pin(id_of(0xABC), TTL_MS, "exemplars (kafka)")]


@given(st.lists(st.sampled_from([*map(id_of, range(4)), b"", b"short", b"x" * 17]), max_size=30))
def test_every_exemplar_seen_has_one_outcome_when_all_is_acknowledged(ids: list[bytes]) -> None:
    run = Run()

    run.pins.take([Exemplar(trace_id, None) for trace_id in ids], "kafka")
    run.producer.acknowledge()

    good = {trace_id for trace_id in ids if len(trace_id) == 16 and trace_id != bytes(16)}
    assert run.count("exemplars_seen_total", source="kafka") == len(ids)
    assert sum(run.outcomes().values()) == len(ids)
    assert run.outcomes()["pinned"] == len(good)
    assert run.outcomes()["without_trace"] == ids.count(b"")
    assert run.outcomes()["invalid"] == sum(
        ids.count(bad) for bad in (bytes(16), b"short", b"x" * 17)
    )


def test_a_record_is_done_when_its_pins_are_acknowledged_and_not_before() -> None:
    run, acknowledged = Run(), Acknowledged()
    run.take(1, 2, 1, pending=acknowledged.read(0, 7))

    assert acknowledged.to_commit() == {}
    run.producer.acknowledge(1)
    assert acknowledged.to_commit() == {}
    run.producer.acknowledge(1)
    assert acknowledged.to_commit() == {0: 8}


def test_a_record_waits_for_the_pin_that_another_partitions_record_asked_for() -> None:
    run, acknowledged = Run(), Acknowledged()
    run.take(1, pending=acknowledged.read(0, 7))
    run.take(1, pending=acknowledged.read(1, 70))

    assert acknowledged.to_commit() == {}
    run.producer.acknowledge()
    assert acknowledged.to_commit() == {0: 8, 1: 71}
    assert len(run.producer.sent) == 1


def test_a_record_whose_traces_are_pinned_already_is_done_at_once() -> None:
    run, acknowledged = Run(), Acknowledged()
    run.take(1)
    run.producer.acknowledge()

    run.take(1, pending=acknowledged.read(0, 7))

    assert acknowledged.to_commit() == {0: 8}


@pytest.mark.parametrize(("later_ms", "pins"), [(TTL_MS - 1, 1), (TTL_MS, 2)])
def test_a_trace_is_pinned_again_when_its_pin_has_ended(later_ms: int, pins: int) -> None:
    run = Run()
    run.take(1)
    run.producer.acknowledge()

    run.now_ms += later_ms
    run.take(1)

    assert len(run.producer.sent) == pins


def test_the_limit_forgets_the_trace_that_was_not_met_for_longest_and_counts_it() -> None:
    run = Run(remembered_max=2)
    for number in (1, 2, 1, 3):
        run.take(number)
        run.producer.acknowledge()
    assert run.count("limit_reached_total", limit="pins_remembered_max") == 1

    run.take(1, 3)
    assert len(run.producer.sent) == 3
    run.take(2)
    assert len(run.producer.sent) == 4


def test_a_pin_for_every_partition_is_acknowledged_when_the_last_of_them_is() -> None:
    run, acknowledged = Run(target=Target(topic="spans", all_partitions=True)), Acknowledged()

    run.take(1, pending=acknowledged.read(0, 0))

    assert [record.partition for record in run.producer.sent] == [0, 1, 2]
    assert run.records.under_way == 3
    run.producer.acknowledge(2)
    assert acknowledged.to_commit() == {}
    run.producer.acknowledge(1)
    assert acknowledged.to_commit() == {0: 1}
    assert (run.records.under_way, len(run.pins)) == (0, 0)


def test_on_a_json_topic_a_pin_has_an_empty_object_as_value() -> None:
    run = Run(target=Target(topic="spans", as_json=True))
    run.take(1)
    assert [record.value for record in run.producer.sent] == [b"{}"]


def test_a_pins_age_runs_from_the_measurement_to_the_acknowledgement() -> None:
    run = Run()
    run.take(1)
    run.now_ms += 2_000
    run.producer.acknowledge()

    histogram = run.metrics["exemplars_pin_age_seconds"].collect()[0].samples
    assert [sample.value for sample in histogram if sample.name.endswith("_sum")] == [7.0]
