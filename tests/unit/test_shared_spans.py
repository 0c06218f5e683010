"""A client and a server with one span id, as Zipkin's instrumentation has them, are two spans."""

import json
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.compare import TwoTopics
from stream.otlp.merge import Merged, merge, merge_in_python
from stream.otlp.scan import ScanPlan, scan
from stream.otlp.span import read_span
from stream.otlp.span_key import SERVER_BITS, span_key
from stream.otlp.stamp import Stamp
from stream.otlp.wire import encode_varint, framed
from stream.sampling.promotions import Found
from stream.state.memory import MemoryDecisionStore
from stream.testing.core import IDENTITY, Core, a_pin, a_record, a_tick, fold
from stream.testing.spans import SPAN_ID, a_span, span_id_of, spans_of, trace_id_of, traces_data
from stream.testing.strategies import SPAN_IDS
from stream.worker.partition import Partition, PartitionPlan
from stream.worker.restore import Restore, ResumePoint

SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
UNSTAMPED = Stamp("none", "errors", "late")
NO_LIMIT = 10**9
KIND = encode_varint(6 << 3)
KIND_IN_TWO_BYTES = b"\xb0\x00"
IDS = framed(0x0A, trace_id_of(1)) + framed(0x12, SPAN_ID)

Merge = Callable[..., Merged]
Half = tuple[bytes, int]
kinds = st.integers(-1, 6)
numbers = st.sampled_from([0, 1, 2, 3, 6, 2**32 + 2, 2**63 + 2, 2**64 - 1]) | st.integers(0, 300)
kind_fields = st.builds(
    lambda tag, number: tag + encode_varint(number),
    st.sampled_from([KIND, KIND_IN_TWO_BYTES]),
    numbers,
)
no_kinds = st.sampled_from([framed(0x32, b"\x02"), b"\x35\x02\0\0\0", b"\x31\x02" + bytes(7)])
long_kinds = st.sampled_from([KIND + b"\x82\x00", KIND + b"\x82\x80\x80\x00"])


@pytest.fixture(params=[merge, merge_in_python], ids=["which runs", "python"])
def merges_by(request: pytest.FixtureRequest) -> Merge:
    which: Merge = request.param
    return which


def call(kind: int, *, error: bool = True, number: int = 1, span: int = 1) -> Span:
    """Return one half of a call: both have one id and one parent."""
    return a_span(
        trace_id=trace_id_of(number),
        span_id=span_id_of(span),
        kind=kind,
        name="client" if kind == CLIENT else "server",
        status=2 if error else 0,
    )


def names_in(values: Iterable[bytes]) -> list[str]:
    return [span.name for value in values for span in spans_of(value)]


def in_a_record(span: bytes) -> bytes:
    return framed(0x0A, framed(0x12, framed(0x12, span)))


# Keys.


@given(st.tuples(st.sampled_from(SPAN_IDS), kinds), st.tuples(st.sampled_from(SPAN_IDS), kinds))
def test_two_spans_have_one_key_where_they_have_one_id_and_both_or_none_is_a_servers(
    one: Half, other: Half
) -> None:
    alike = one[0] == other[0] and (one[1] == SERVER) == (other[1] == SERVER)
    assert (span_key(*one) == span_key(*other)) is alike


@given(st.integers(0, 2**16), st.integers(0, 2**16), st.sampled_from(["big", "little"]))
def test_the_keys_of_a_server_and_of_a_client_that_count_their_ids_do_not_fall_together(
    one: int, other: int, order: str
) -> None:
    first, second = (
        number.to_bytes(8, "big" if order == "big" else "little") for number in (one, other)
    )
    assert span_key(first, SERVER) != second


@given(st.binary(max_size=20))
def test_a_key_is_as_long_as_its_id_and_leads_back_to_it(span_id: bytes) -> None:
    key = span_key(span_id, SERVER)
    assert span_key(key, SERVER) == span_id
    assert (key != span_id) is (span_id != b"")
    assert span_key(span_id, CLIENT) == span_id
    assert len(SERVER_BITS) == len(SPAN_ID)


@given(st.lists(kind_fields | no_kinds | long_kinds, max_size=4), st.integers(0, 4))
def test_the_kind_is_what_the_otlp_library_reads(fields: list[bytes], ids_at: int) -> None:
    span = b"".join([*fields[:ids_at], IDS, *fields[ids_at:]])
    kind = Span.FromString(span).kind
    assert read_span(span, 0, len(span))[-1] == kind % 2**32
    for merged_by in (merge, merge_in_python):
        merged = merged_by([in_a_record(span)], UNSTAMPED, NO_LIMIT)
        assert merged.span_ids == span_key(SPAN_ID, kind)


# Deliveries.


@given(
    st.lists(st.lists(st.tuples(st.sampled_from(SPAN_IDS[:3]), kinds), max_size=4), max_size=4),
    st.integers(0, 4),
)
def test_of_each_id_the_first_server_and_the_first_other_go_out_once(
    records: list[list[Half]], delivered_before: int
) -> None:
    """Some records were delivered before: the rest is late."""
    for merged_by in (merge, merge_in_python):
        seen, out = b"", 0
        for part in (records[:delivered_before], records[delivered_before:]):
            bodies = [traces_data([a_span(span_id=i, kind=kind) for i, kind in r]) for r in part]
            merged = merged_by(bodies, UNSTAMPED, NO_LIMIT, seen)
            assert merged.spans + merged.duplicates == sum(map(len, part))
            seen += merged.span_ids
            out += merged.spans
        halves = {(span_id, kind == SERVER) for record in records for span_id, kind in record}
        assert out == len(halves) == len({seen[at : at + 8] for at in range(0, len(seen), 8)})


@pytest.mark.parametrize("first", [CLIENT, SERVER], ids=["client first", "server first"])
def test_both_halves_go_out_and_each_that_is_sent_again_is_left_out(
    merges_by: Merge, first: int
) -> None:
    second = CLIENT + SERVER - first
    bodies = [traces_data(call(kind)) for kind in (first, second, first, second, second)]
    merged = merges_by(bodies, UNSTAMPED, NO_LIMIT)
    assert merged.parts == [bodies[0] + bodies[1]]
    assert (merged.spans, merged.duplicates) == (2, 3)


@pytest.mark.parametrize("first", [CLIENT, SERVER], ids=["client first", "server first"])
def test_a_late_half_is_no_duplicate_of_the_one_that_was_delivered(
    merges_by: Merge, first: int
) -> None:
    second = CLIENT + SERVER - first
    before = merges_by([traces_data(call(first))], UNSTAMPED, NO_LIMIT)
    both = [traces_data([call(first), call(second)])]
    late = merges_by(both, UNSTAMPED, NO_LIMIT, before.span_ids)
    assert names_in(late.parts) == [call(second).name]
    again = merges_by(both, UNSTAMPED, NO_LIMIT, before.span_ids + late.span_ids)
    assert (again.parts, again.duplicates) == ([], 2)


@pytest.mark.parametrize("server", [2, "SPAN_KIND_SERVER"], ids=["number", "name"])
def test_halves_that_came_as_json_are_two_spans(merges_by: Merge, server: int | str) -> None:
    ids = {"traceId": trace_id_of(1).hex(), "spanId": SPAN_ID.hex()}
    halves = [{**ids, "kind": kind} for kind in (3, server, server)]
    value = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": halves}]}]}).encode()
    (fragment,) = scan(value, ScanPlan()).fragments
    merged = merges_by([fragment.body], UNSTAMPED, NO_LIMIT)
    assert [span.kind for part in merged.parts for span in spans_of(part)] == [CLIENT, SERVER]
    assert merged.duplicates == 1


# The worker.


def deliver(partition: Partition, decisions_end: int | None = None) -> PartitionPlan:
    plan = partition.plan(count_max=1_000, bytes_max=1 << 30)
    partition.committed(plan, decisions_end=decisions_end)
    return plan


def names_out(plan: PartitionPlan) -> list[str]:
    return names_in(record.value for record in plan.records if record.topic == "output")


def test_the_half_that_comes_after_a_restart_goes_out_and_the_other_one_does_not_again() -> None:
    partition = Core().partition()
    partition.sampler.fold([a_record(0, 100, [call(CLIENT)]), a_tick(1, 130)])
    plan = deliver(partition, decisions_end=1)
    decisions = MemoryDecisionStore()
    point = ResumePoint(2, 130, 0, 1, dead_letters_upto=2, lost=0, decisions_missing=0)
    restore = Restore(point, identity=IDENTITY, decisions=decisions)
    restore.read([(0, one.value) for one in plan.records if one.topic == "decisions"])
    again = Core().partition(decisions=decisions, restored=(point, restore))
    again.sampler.fold([a_record(2, 131, [call(CLIENT), call(SERVER)])])
    late = deliver(again)
    again.sampler.fold([a_record(3, 132, [call(SERVER)])])
    latest = deliver(again)
    assert [names_out(each) for each in (plan, late, latest)] == [["client"], ["server"], []]
    assert again.sampler.accounts.duplicate == 2


def test_a_promotion_brings_both_halves_and_what_is_late_then_knows_them() -> None:
    partition = Core().partition()
    server, client = call(SERVER, error=False), call(CLIENT, error=False)
    records = [a_record(0, 100, [server]), a_record(1, 100, [server, client])]
    fold(partition.sampler, [*records, a_tick(2, 130)])
    dropped = deliver(partition, decisions_end=1)
    fold(partition.sampler, [a_pin(3, 131, 1)])
    (wanted,) = partition.sampler.wanted(1)
    fragments = [(each.offset, one, each.headers) for each in records for one in each.fragments]
    found = Found(wanted.trace_id, wanted.first_offset, fragments, partial=False)
    assert partition.sampler.found(found)
    promoted = deliver(partition, decisions_end=2)
    fold(partition.sampler, [a_record(4, 132, [client, server, call(CLIENT, span=2)])])
    late = deliver(partition)
    names = [names_out(each) for each in (dropped, promoted, late)]
    assert names == [[], ["server", "client"], ["client"]]


# Comparing.


def test_a_half_that_only_one_of_two_topics_has_is_a_difference() -> None:
    two = TwoTopics()
    for side, halves in ((two.ours, (CLIENT, SERVER)), (two.other, (CLIENT, CLIENT))):
        for time_ms in (0, 100_000):
            two.take(side, traces_data(), time_ms)
        two.take(side, traces_data([call(kind) for kind in halves]), 50_000, "errors")
    found = two.compare(1_000)
    (differing,) = found.differing_examples
    assert (differing.only_ours, differing.only_other) == (1, 0)
    assert (found.twice_ours, found.twice_other) == (0, 1)
