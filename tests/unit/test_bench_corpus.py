"""The bench's corpus has the shape that the budgets are written for, and its check can fail."""

from itertools import islice

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from stream.kafka.partitioner import fnv1a
from tests.bench.corpus import SPREAD_TRACES, CorpusRecord, corpus
from tests.bench.kept import Expected, WrongOutputError, check_output
from tests.harness.reading import Stored
from tests.harness.topics import PARTITIONS

SPANS = 40_000


@pytest.fixture(scope="module")
def records() -> list[CorpusRecord]:
    return list(corpus(SPANS))


def expected_of(records: list[CorpusRecord]) -> Expected:
    expected = Expected()
    for record in records:
        expected.add(record.value)
    return expected


def test_records_and_spans_have_the_reference_size(records: list[CorpusRecord]) -> None:
    expected = expected_of(records)
    value_bytes = sum(len(record.value) for record in records)
    assert expected.spans / len(records) == pytest.approx(5.4, rel=0.03)
    assert value_bytes / len(records) == pytest.approx(3_900, rel=0.03)
    assert value_bytes / expected.spans == pytest.approx(717, rel=0.02)
    assert expected.spans / expected.traces == pytest.approx(15.5, rel=0.03)


def test_the_policies_keep_the_reference_share(records: list[CorpusRecord]) -> None:
    expected = expected_of(records)
    kept = expected.kept()
    assert len(kept) / expected.traces == pytest.approx(0.097, abs=0.02)
    assert sum(map(len, kept.values())) / expected.spans == pytest.approx(0.095, abs=0.02)


def test_a_record_is_one_traces_batch_of_one_service(records: list[CorpusRecord]) -> None:
    for record in islice(records, 0, None, 50):
        message = TracesData.FromString(record.value)
        assert message.SerializeToString() == record.value, "fields are in their order"
        (resource,) = message.resource_spans
        (scope,) = resource.scope_spans
        assert len(resource.resource.attributes) == 12
        assert {len(span.attributes) for span in scope.spans} == {10}
        assert {span.trace_id.hex().encode() for span in scope.spans} == {record.key}
        assert len(scope.spans) == record.spans
        assert record.partition == fnv1a(record.key, PARTITIONS)


def test_a_trace_has_one_root_and_each_span_an_id_of_its_own(records: list[CorpusRecord]) -> None:
    roots: dict[bytes, int] = {}
    ids: set[bytes] = set()
    for record in records:
        for span in TracesData.FromString(record.value).resource_spans[0].scope_spans[0].spans:
            roots[span.trace_id] = roots.get(span.trace_id, 0) + (not span.parent_span_id)
            ids.add(span.span_id)
            assert span.start_time_unix_nano <= span.end_time_unix_nano
    assert set(roots.values()) == {1}
    assert len(ids) == sum(record.spans for record in records)


def test_time_runs_at_twenty_thousand_spans_a_second(records: list[CorpusRecord]) -> None:
    times_ms = [record.timestamp_ms for record in records]
    assert times_ms == sorted(times_ms)
    assert times_ms[-1] - times_ms[0] == pytest.approx(SPANS / 20, rel=0.01)


def test_fragments_of_a_trace_lie_among_those_of_its_neighbours(
    records: list[CorpusRecord],
) -> None:
    first: dict[bytes, int] = {}
    apart = [
        index - first[record.key]
        for index, record in enumerate(records)
        if first.setdefault(record.key, index) != index
    ]
    # 2.9 records a trace; the end, where no new trace joins, is denser.
    assert max(apart) <= SPREAD_TRACES * 3.2
    assert sorted(apart)[len(apart) // 2] > SPREAD_TRACES / 2


def test_the_same_seed_makes_the_same_corpus_and_another_one_another() -> None:
    assert list(corpus(2_000)) == list(corpus(2_000))
    assert list(corpus(2_000)) != list(corpus(2_000, seed=1))


def test_offsets_are_those_that_the_log_will_give(records: list[CorpusRecord]) -> None:
    for partition in range(PARTITIONS):
        offsets = [record.offset for record in records if record.partition == partition]
        assert offsets == list(range(len(offsets)))


def stored(record: CorpusRecord) -> Stored:
    return Stored(record.partition, record.offset, 0, record.key, record.value, {})


@pytest.fixture(scope="module")
def output(records: list[CorpusRecord]) -> list[Stored]:
    """Give what a sampler without a fault puts out, fragments not merged."""
    kept = {trace_id.hex().encode() for trace_id in expected_of(records).kept()}
    return [stored(record) for record in records if record.key in kept]


def test_the_right_output_passes(records: list[CorpusRecord], output: list[Stored]) -> None:
    check_output(expected_of(records).kept(), output)


def test_a_missing_a_foreign_or_a_repeated_fragment_fails_the_bench(
    records: list[CorpusRecord], output: list[Stored]
) -> None:
    kept = expected_of(records).kept()
    dropped = next(record for record in records if bytes.fromhex(record.key.decode()) not in kept)
    for wrong in (output[1:], [*output, stored(dropped)], [*output, output[0]]):
        with pytest.raises(WrongOutputError, match="1 traces came out wrong"):
            check_output(kept, wrong)
