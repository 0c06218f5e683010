"""The bench's corpus has the shape that the budgets are written for, and its check can fail."""

import json
from collections import Counter
from itertools import islice

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from stream.kafka.partitioner import fnv1a
from stream.otlp.scan import scan
from stream.sampling.matcher import Matcher
from stream.settings.compiled import policies_of
from stream.settings.load import load
from tests.bench.corpus import SHAPES, SPREAD_TRACES, CorpusRecord, Shape, corpus
from tests.bench.kept import Expected, WrongOutputError, check_output, difference
from tests.bench.policies import Keeping
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
    records_of = Counter(record.key for record in output)
    gone = next(record for record in output if records_of[record.key] > 1)
    rest = [record for record in output if record is not gone]
    whole = [record for record in output if record.key != gone.key]
    dropped = next(record for record in records if bytes.fromhex(record.key.decode()) not in kept)
    for wrong, said in (
        (whole, " 1 missing, 0 in part, 0 with spans twice; 0 that"),
        (rest, " 0 missing, 1 in part, 0 with spans twice; 0 that"),
        ([*output, gone], " 0 missing, 0 in part, 1 with spans twice; 0 that"),
        ([*output, stored(dropped)], " 0 missing, 0 in part, 0 with spans twice; 1 that"),
    ):
        with pytest.raises(WrongOutputError, match=said):
            check_output(kept, wrong)
    assert str(difference(kept, output)) == f"all {len(kept)} traces, whole"


def test_the_single_corpus_has_a_span_a_record_and_the_wide_one_sixty_attributes() -> None:
    single = list(corpus(5_000, shape=SHAPES["single"]))
    assert {record.spans for record in single} == {1}
    expected = expected_of(single)
    assert expected.spans == len(single)
    assert expected.spans / expected.traces == pytest.approx(15.5, rel=0.1)
    for record in corpus(2_000, shape=SHAPES["wide"]):
        (resource,) = TracesData.FromString(record.value).resource_spans
        assert {len(span.attributes) for span in resource.scope_spans[0].spans} == {60}


def test_a_shape_sets_length_of_traces_size_of_records_and_speed_of_time() -> None:
    shape = Shape(
        trace_spans=(12, 12), trace_services_max=1, record_spans_max=5, spans_a_second=100
    )
    records = list(corpus(2_400, shape=shape, partitions=3))
    expected = expected_of(records)
    assert expected.spans / expected.traces == 12
    assert sorted({record.spans for record in records}) == [2, 5]
    assert {record.partition for record in records} == {0, 1, 2}
    assert records[-1].timestamp_ms - records[0].timestamp_ms == pytest.approx(24_000, rel=0.01)


def test_fewer_policies_keep_less_and_those_that_never_keep_change_nothing(
    records: list[CorpusRecord],
) -> None:
    expected = expected_of(records)
    all_three, rest = expected.kept(), expected.kept(Keeping(errors=False, slow=False))
    assert rest.keys() < all_three.keys()
    assert expected.kept(Keeping(idle=47)) == all_three
    assert not expected.kept(Keeping(errors=False, slow=False, percentage=0))
    everything = expected.kept(Keeping(errors=False, slow=False, percentage=100))
    assert len(everything) == expected.traces


def test_a_runs_policies_are_taken_by_the_worker_and_the_idle_ones_keep_nothing(
    records: list[CorpusRecord],
) -> None:
    policies = Keeping(idle=47).policies
    assert len(policies) == 50
    settings = load(None, [f"tail_sampling.policies={json.dumps(policies)}"], {})
    matcher = Matcher()
    judge = policies_of(settings.tail_sampling, matcher).judge
    plan = matcher.plan()
    keeping = {judge(scan(record.value, plan).fragments[0]).policy for record in records[:2_000]}
    assert keeping == {"", "errors", "slow", "rest"}
