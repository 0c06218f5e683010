"""The compiled receive and plain Python make the same batches of the same messages."""

from random import Random

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from stream.kafka.partitioner import PARTITIONERS, Partitioner
from stream.kafka.receive import Receiver
from stream.otlp.scan import ScanPlan
from stream.otlp.wire import Malformed
from stream.sampling.record import Record
from stream.testing.spans import a_trace, trace_id_of, traces_data
from tests.fuzz.odd_polls import Receivers, a_poll
from tests.fuzz.twins import plans

PLANS = plans()
PARTITIONS = 4
SEED = 20_261_122
POLLS = 6


@pytest.mark.parametrize("plan", [*PLANS, ScanPlan(conditions=lambda body: len(body) & 3)])
@pytest.mark.parametrize("partitioner", PARTITIONERS.values())
@pytest.mark.parametrize("partitions", [0, PARTITIONS, 7])
def test_both_make_the_same_of_a_poll(
    plan: ScanPlan, partitioner: Partitioner, partitions: int
) -> None:
    rng = Random(SEED)
    both = Receivers(plan, partitioner, partitions, ("tenant",) if partitions else ())
    for _ in range(POLLS):
        both.compare(a_poll(rng))
    assert both.rows, "the compiled one was not asked"


def test_both_make_the_same_of_what_conditions_find_malformed_or_have_too_many_bits_for() -> None:
    def refuse(_: bytes) -> int:
        raise Malformed("no")

    for conditions in (refuse, lambda _: 1 << 70):
        plan = ScanPlan((1, 2, 4), conditions=conditions)
        Receivers(plan, PARTITIONERS["fnv1a"], PARTITIONS).compare(a_poll(Random(SEED)))


@pytest.mark.parametrize("key", [None, b"", b"0" * 32, b"x"])
def test_a_record_without_spans_keeps_its_key(key: bytes | None) -> None:
    message = Message(
        topic="spans",
        partition=0,
        offset=0,
        key=key,
        value=b"\x0a\x00",
        timestamp=(TIMESTAMP_LOG_APPEND_TIME, 1_000),
    )
    Receivers(ScanPlan(), PARTITIONERS["fnv1a"], PARTITIONS).compare([message])
    (batch,) = Receiver(ScanPlan(), PARTITIONERS["fnv1a"]).receive([message], {0: 1}, [])
    assert batch.records[0].key == key


def test_rows_are_a_sequence_of_records() -> None:
    messages = [
        Message(
            topic="spans",
            partition=0,
            offset=offset,
            key=trace_id_of(1).hex().encode(),
            value=traces_data(a_trace(1)),
            timestamp=(TIMESTAMP_LOG_APPEND_TIME, 1_000),
        )
        for offset in range(100)
    ]
    (batch,) = Receiver(ScanPlan(), PARTITIONERS["fnv1a"]).receive(messages, {0: 1}, [])
    rows = batch.records
    whole: list[Record] = list(rows)
    assert [record.offset for record in whole] == list(range(100))
    assert len(rows) == 100
    assert (rows[0], rows[-1], rows[3:50:7]) == (whole[0], whole[-1], whole[3:50:7])
    assert list(reversed(rows)) == whole[::-1]
    assert whole[5] in rows
    assert rows.index(whole[5]) == 5
    assert rows.count(whole[5]) == 1
    for beyond in (100, -101):
        with pytest.raises(IndexError):
            rows[beyond]
