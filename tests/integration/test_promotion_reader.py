"""Rounds of promotions on a real Kafka: what is read when, and that it is read whole."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from stream.kafka.partitioner import PARTITIONERS
from stream.kafka.promotion_reader import Pace, PromotionReader
from stream.kafka.receive import Receiver
from stream.otlp.scan import ScanPlan
from stream.sampling.kept_offsets import KeptOffsets, kept_offsets
from stream.sampling.promotions import Found, Wanted
from stream.testing.spans import a_trace, trace_id_of, traces_data
from tests.harness.topics import Topics

pytestmark = pytest.mark.integration

RECORDS = 6_000
GIANT_EVERY = 500  # records from one of the giant's to the next
TURN_RECORDS = 1_000
GIANT = 999_999


@pytest.fixture
def read_records() -> list[int]:
    return []


@pytest.fixture
def reader(topics: Topics, read_records: list[int]) -> Iterator[PromotionReader]:
    """Give a reader that may read a turn of records a second."""
    made = PromotionReader(
        {"bootstrap.servers": topics.bootstrap},
        topics.input,
        receiver=lambda: Receiver(ScanPlan(), PARTITIONERS["fnv1a"], copy_headers=[]),
        pace=Pace(TURN_RECORDS, 1 << 30, 1 << 30),
        count=lambda records, _: read_records.append(records),
    )
    yield made
    made.close()


def test_on_kafka_a_long_sparse_range_does_not_keep_a_short_one_waiting(
    topics: Topics, reader: PromotionReader, read_records: list[int]
) -> None:
    fill(topics)
    giant = wanted(GIANT, (0, RECORDS - GIANT_EVERY))
    rounds = [reader.read({0: [giant, wanted(2_001, kept_offsets([2_001]))]}, ours)]
    # This one is asked for while the giant's range is read.
    rounds.append(reader.read({0: [wanted(5_301, kept_offsets([5_301]))]}, ours))
    assert [trace for found in rounds for trace in traces_in(found)] == [2_001, 5_301]
    while len(reader):
        rounds.append(reader.read({}, ours))
    (last,) = rounds[-1][0]
    assert (last.trace_id, last.partial) == (trace_id_of(GIANT), False)
    assert [at for at, *_ in last.fragments] == list(range(0, RECORDS, GIANT_EVERY))
    # Neither turn of a round goes on for long, and nothing of the range is read twice.
    assert len(rounds) >= RECORDS / (2 * TURN_RECORDS)
    assert sum(read_records) <= RECORDS + 100 * 2 * len(rounds)


def fill(topics: Topics) -> None:
    """Let each offset of partition 0 hold a trace of its own number, but for the giant's."""
    producer = Producer({"bootstrap.servers": topics.bootstrap, "linger.ms": 5})
    for offset in range(RECORDS):
        trace = GIANT if offset % GIANT_EVERY == 0 else offset
        value = traces_data(a_trace(trace, spans=1, first_span=1 + offset))
        producer.produce(topics.input, value, trace_id_of(trace).hex().encode(), partition=0)
    assert producer.flush(60) == 0


def wanted(trace: int, offsets: KeptOffsets) -> Wanted:
    return Wanted(trace_id_of(trace), trace, offsets)


def traces_in(found: dict[int, list[Found]]) -> list[int]:
    return [one.first_offset for of_one in found.values() for one in of_one]


def ours(_: int) -> bool:
    return True
