"""What a sample of records tells of how the input is keyed and placed."""

from collections.abc import Callable

import pytest

from stream.kafka.keying import (
    Encoding,
    Key,
    Keying,
    SampledRecord,
    examine,
    keying_findings,
)
from stream.kafka.partitioner import crc32, fnv1a, murmur2
from stream.kafka.sample import share
from stream.kafka.topic_rules import Level
from stream.testing.spans import a_span, a_trace, trace_id_of, traces_data

PARTITIONS = 8
TRACES = range(40)
Place = Callable[[bytes, int], int]
Spell = Callable[[bytes], bytes | None]

JSON = (
    b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736",'
    b'"spanId":"00f067aa0ba902b7","name":"x"}]}]}]}'
)


def hex_key(trace_id: bytes) -> bytes:
    return trace_id.hex().encode()


def no_key(_: bytes) -> None:
    return None


def keyed(spell: Spell = hex_key, place: Place = fnv1a) -> list[SampledRecord]:
    """Two records of every trace."""
    return [
        SampledRecord(
            place(key, PARTITIONS) if (key := spell(trace_id_of(number))) else number % PARTITIONS,
            key,
            traces_data(a_trace(number)),
        )
        for number in [*TRACES, *TRACES]
    ]


def said(
    records: list[SampledRecord], *, partitions: int = PARTITIONS, partitioner: str = "fnv1a"
) -> list[tuple[Level, str]]:
    found = keying_findings(examine(records, partitions), "spans", partitions, partitioner)
    return [(finding.level, finding.text) for finding in found]


def test_a_topic_as_the_collector_fills_it_gives_no_finding() -> None:
    keying = examine(keyed(), PARTITIONS)
    assert keying == Keying(
        records=80,
        encodings={Encoding.PROTOBUF: 80},
        keys={Key.HEX: 80},
        mixed=0,
        traces=40,
        scattered=0,
        partitioner="fnv1a",
    )
    assert keying.by_trace
    assert said(keyed()) == []


@pytest.mark.parametrize(
    ("spell", "kind", "level"),
    [
        (lambda trace_id: trace_id, Key.RAW, Level.WARN),
        (lambda trace_id: trace_id.hex().upper().encode(), Key.UPPER_HEX, Level.WARN),
        (lambda trace_id: trace_id[8:].hex().encode(), Key.LOW_HEX, Level.WARN),
        (no_key, Key.MISSING, Level.REFUSE),
        (lambda _: b"", Key.EMPTY, Level.WARN),
        (lambda trace_id: b"tenant-%d" % (trace_id[-1] % 3), Key.OTHER, Level.WARN),
    ],
    ids=["raw", "upper", "jaeger", "none", "empty", "tenant"],
)
def test_each_kind_of_key_is_told_apart_and_judged(spell: Spell, kind: Key, level: Level) -> None:
    records = keyed(spell)
    keying = examine(records, PARTITIONS)
    assert keying.keys == {kind: 80}
    ((found, text),) = said(records)
    assert found == level
    assert "topics.input 'spans'" in text
    assert "`partition_traces_by_id: true`" in text


def test_a_key_of_another_kind_is_shown_as_an_example() -> None:
    assert examine(keyed(lambda _: b"tenant-a"), PARTITIONS).other_key == b"tenant-a"


@pytest.mark.parametrize(
    ("place", "partitioner", "remedy"),
    [
        (murmur2, "fnv1a", "topics.partitioner: murmur2"),
        (fnv1a, "murmur2", "topics.partitioner: fnv1a"),
        (crc32, "fnv1a", "`partitioner=fnv1a_random`"),
        (crc32, "murmur2", "`partitioner=murmur2_random`"),
        (lambda key, count: (fnv1a(key, count) + 1) % count, "fnv1a", "by no partitioner known"),
    ],
    ids=["murmur2", "fnv1a", "crc32", "crc32 wanting murmur2", "unknown"],
)
def test_another_partitioner_than_the_configured_one_is_a_warning_with_a_remedy(
    place: Place, partitioner: str, remedy: str
) -> None:
    ((level, text),) = said(keyed(place=place), partitioner=partitioner)
    assert level is Level.WARN
    assert remedy in text


def test_another_partitioner_is_told_of_whatever_the_keys_are() -> None:
    tenants = keyed(lambda trace_id: b"tenant-%d" % (trace_id[-1] % 9), murmur2)
    texts = [text for _, text in said(tenants)]
    assert len(texts) == 2
    assert "set topics.partitioner: murmur2" in texts[1]


def test_a_trace_seen_in_two_partitions_is_refused_whatever_its_key() -> None:
    records = keyed()
    elsewhere = (records[0].partition + 1) % PARTITIONS
    records.append(SampledRecord(elsewhere, records[0].key, records[0].value))
    ((level, text),) = said(records)
    assert level is Level.REFUSE
    assert "1 of 40 traces have spans in more than one partition" in text


def test_records_of_several_traces_are_a_warning_while_no_trace_is_torn() -> None:
    both = traces_data(a_trace(1), a_trace(2))
    records = [SampledRecord(3, b"tenant", both)]
    keying = examine(records, PARTITIONS)
    assert (keying.mixed, keying.keys, keying.traces) == (1, {}, 2)
    ((level, text),) = said(records)
    assert level is Level.WARN
    assert "1 of 1 records are not keyed by their one trace id" in text


def test_in_a_topic_of_one_partition_every_trace_is_whole_whatever_its_key() -> None:
    records = [SampledRecord(0, None, traces_data(a_trace(number))) for number in TRACES]
    assert said(records, partitions=1) == []


def test_one_partition_tells_nothing_of_the_partitioner() -> None:
    assert examine([SampledRecord(0, hex_key(trace_id_of(1)), JSON)], 1).partitioner is None


def test_otlp_json_is_told_from_protobuf() -> None:
    keying = examine([SampledRecord(0, b"4bf92f3577b34da6a3ce929d0e0e4736", JSON)], PARTITIONS)
    assert keying.encodings == {Encoding.JSON: 1}
    assert keying.keys == {Key.HEX: 1}


def test_a_topic_of_something_else_is_refused_and_a_few_bad_records_are_a_warning() -> None:
    bad = [SampledRecord(0, b"k", value) for value in (b"plain text", b"", b"\x00\x00\x01schema")]
    assert examine(bad, PARTITIONS).encodings == {Encoding.UNREADABLE: 3}
    assert [level for level, _ in said(bad)] == [Level.REFUSE]
    ((level, text),) = said([*keyed(), *bad])
    assert level is Level.WARN
    assert "3 of 83 records" in text


def test_a_topic_without_a_span_is_refused_though_each_record_is_legal() -> None:
    jaeger = b'{"traceId":"S/kvNXezTaajzpKdDg5HNg==","operationName":"GET /cart"}'
    records = [SampledRecord(0, b"k", jaeger), SampledRecord(0, b"k", b"\x0a\x02\x1a\x00")]
    assert examine(records, PARTITIONS).encodings == {Encoding.NO_SPANS: 2}
    ((level, text),) = said(records)
    assert level is Level.REFUSE
    assert "2 of 2 records hold no span" in text
    assert "encoding: otlp_proto" in text
    assert [level for level, _ in said([*records, SampledRecord(0, b"k", b"text")])] == [
        Level.REFUSE
    ]
    assert [level for level, _ in said([*keyed(), *records])] == [Level.WARN]


def test_spans_with_invalid_ids_are_readable_but_say_nothing_of_the_keys() -> None:
    value = traces_data(a_span(trace_id=bytes(16)))
    keying = examine([SampledRecord(0, b"", value)], PARTITIONS)
    assert keying.encodings == {Encoding.PROTOBUF: 1}
    assert keying.keys == {}
    assert keying_findings(keying, "spans", PARTITIONS, "fnv1a") == []


def test_an_empty_topic_gives_no_finding() -> None:
    assert said([]) == []


@pytest.mark.parametrize(
    ("available", "records_max", "shares"),
    [
        ({}, 10, {}),
        ({0: 0, 1: 0}, 10, {}),
        ({0: 3, 1: 100}, 10, {0: 3, 1: 7}),
        ({0: 100, 1: 100, 2: 100}, 10, {0: 3, 1: 3, 2: 4}),
        ({0: 2, 1: 0, 2: 2}, 10, {0: 2, 2: 2}),
        ({0: 9, 1: 9, 2: 9}, 2, {1: 1, 2: 1}),
    ],
)
def test_the_records_to_read_are_shared_out_over_the_partitions_that_have_some(
    available: dict[int, int], records_max: int, shares: dict[int, int]
) -> None:
    assert share(available, records_max) == shares
