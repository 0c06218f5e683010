"""The compiled scan and its pure-Python twin say the same of every record."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.otlp.fragment import Scanned
from stream.otlp.scan import ScanPlan, scan, scan_in_python
from stream.otlp.wire import CHILDREN_MAX, GROUP_DEPTH_MAX, Malformed, encode_varint, framed
from stream.sampling.matcher import StringIs
from stream.testing.spans import a_span, a_trace, span_id_of, traces_data
from stream.testing.strategies import TRACE_IDS, records, spans
from tests.fuzz.twins import Twins, is_plain, plan_of, plans

PLANS = plans()
SEED = 20_261_122
RECORDS = 12_000
SPAN = a_span().SerializeToString()


@pytest.fixture(scope="module")
def twins() -> Twins:
    return Twins(PLANS)


@pytest.fixture(params=[scan, scan_in_python], ids=["compiled", "python"])
def scans(request: pytest.FixtureRequest) -> Callable[[bytes, ScanPlan], Scanned]:
    """Each of them: what is known of a record holds for both."""
    which: Callable[[bytes, ScanPlan], Scanned] = request.param
    return which


def in_a_record(span: bytes) -> bytes:
    return framed(0x0A, framed(0x12, framed(0x12, span)))


def test_they_agree_on_odd_and_on_broken_records() -> None:
    twins = Twins(PLANS)
    twins.run(Random(SEED), RECORDS)
    assert twins.plain > twins.records // 2, "the compiled one left nearly all to the other"


@settings(max_examples=200)
@given(value=records() | records(spans(TRACE_IDS[:1])))
def test_they_agree_on_any_legal_record(twins: Twins, value: bytes) -> None:
    twins.compare(value)


@settings(max_examples=200)
@given(
    value=records(spans(TRACE_IDS[:1])) | st.binary(max_size=60),
    changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_they_agree_on_a_record_with_bytes_changed(
    twins: Twins, value: bytes, changes: list[tuple[int, int]]
) -> None:
    mutated = bytearray(value or b"\x0a\x00")
    for at, byte in changes:
        mutated[at % len(mutated)] = byte
    twins.compare(bytes(mutated))


def test_they_agree_on_every_truncation_of_a_record(twins: Twins) -> None:
    value = traces_data(a_trace(1, error=True, attributes={"a": "x", "bb": 5, "cc": 0.5}))
    for size in range(len(value) + 1):
        twins.compare(value[:size])


@pytest.mark.parametrize("depth", [1, 2, GROUP_DEPTH_MAX, GROUP_DEPTH_MAX + 1, 5_000])
def test_they_agree_on_how_deep_groups_may_nest(twins: Twins, depth: int) -> None:
    twins.compare(in_a_record(SPAN + b"\x9b\x3e" * depth + b"\x9c\x3e" * depth))
    twins.compare(in_a_record(SPAN + b"\x9b\x3e" * depth + b"\x9c\x3e" * (depth - 1) + b"\xa4\x3e"))


@pytest.mark.parametrize("size", range(1, 13))
@pytest.mark.parametrize("last", [0, 1, 0x0F, 0x10, 0x7F])
def test_they_agree_on_how_long_tags_lengths_and_numbers_may_be(
    twins: Twins, size: int, last: int
) -> None:
    def long(first: int) -> bytes:
        more = b"\x80" * (size - 2) + bytes([last])
        return bytes([first | 0x80]) + more if size > 1 else bytes([first])

    for field in (
        long(0x32) + b"\x00",  # a tag
        b"\x32" + long(0),  # a length
        b"\x30" + long(2),  # a number that is skipped
        framed(0x7A, b"\x18" + long(2)),  # and some that are not
        framed(0x4A, b"\x0a\x02bb" + framed(0x12, b"\x18" + long(1))),
        framed(0x4A, b"\x0a\x01a" + framed(0x12, b"\x10" + long(0))),
    ):
        twins.compare(in_a_record(SPAN + field))
        twins.compare(framed(0x0A, framed(0x12, framed(0x12, SPAN) + field)))


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("tag", [0x0A, 0x12], ids=["resources", "scopes"])
def test_they_agree_on_how_many_envelopes_a_record_may_have(
    twins: Twins, tag: int, more: int
) -> None:
    empty = bytes([tag, 0]) * (CHILDREN_MAX - 1 + more)
    scope = framed(0x12, framed(0x12, SPAN))
    content = scope + empty if tag == 0x12 else scope
    twins.compare(framed(0x0A, content) + (b"" if tag == 0x12 else empty))


@pytest.mark.parametrize("count", [CHILDREN_MAX, CHILDREN_MAX + 1])
def test_they_agree_on_how_many_spans_a_record_may_have(count: int) -> None:
    small = framed(0x12, b"\x0a\x10" + TRACE_IDS[0] + b"\x12\x08" + span_id_of(1))
    value = framed(0x0A, framed(0x12, small * count))
    Twins(PLANS[:1]).compare(value)


@pytest.mark.parametrize("count", [CHILDREN_MAX, CHILDREN_MAX + 1])
def test_they_agree_on_how_many_attributes_a_resource_may_have(count: int) -> None:
    resource = framed(0x0A, b"\x0a\x00" * count)
    value = framed(0x0A, resource + framed(0x12, framed(0x12, SPAN)))
    Twins(PLANS[1:2]).compare(value)


def test_a_record_may_ask_a_search_more_than_the_compiled_one_notes(
    scans: Callable[[bytes, ScanPlan], Scanned],
) -> None:
    plan = plan_of(StringIs("a", frozenset({"^70000$"}), regex=True))
    attributes = b"".join(
        framed(0x4A, b"\x0a\x01a" + framed(0x12, framed(0x0A, b"%d" % number)))
        for number in range(70_001)
    )
    (fragment,) = scans(in_a_record(SPAN + attributes), plan).fragments
    assert fragment.bits == 1


@pytest.mark.parametrize("bit", [0, 63, 64, 69, 200])
def test_a_condition_beyond_the_first_word_of_bits_is_met_as_any_other(
    scans: Callable[[bytes, ScanPlan], Scanned], bit: int
) -> None:
    names = [f"n{number}" for number in range(201)]
    plan = plan_of(*[StringIs(name, frozenset({"x"})) for name in names])
    value = traces_data(a_span(attributes={names[bit]: "x"}))
    (fragment,) = scans(value, plan).fragments
    assert fragment.bits == 1 << bit


def test_conditions_on_whole_spans_add_their_bits_and_may_find_the_record_malformed(
    scans: Callable[[bytes, ScanPlan], Scanned],
) -> None:
    def refuse(_: bytes) -> int:
        raise Malformed("no")

    value = traces_data(a_span())
    (fragment,) = scans(value, ScanPlan((1, 0, 0), conditions=lambda _: 1 << 80)).fragments
    assert fragment.bits == 1 << 80 | 1
    assert [bad.body for bad in scans(value, ScanPlan(conditions=refuse)).bad] == [value]
    assert scans(b"\x0a\x00", ScanPlan(conditions=refuse)) == Scanned([], [])


def test_a_plain_record_keeps_its_very_bytes(scans: Callable[[bytes, ScanPlan], Scanned]) -> None:
    value = traces_data(a_trace(1))
    scanned = scans(value, PLANS[1])
    assert is_plain(scanned, value)
    assert scanned.fragments


@pytest.mark.parametrize("tag", [0, 1, 2, 5, 3, 4, 7])
def test_they_agree_that_a_field_of_number_0_is_malformed(
    twins: Twins, scans: Callable[[bytes, ScanPlan], Scanned], tag: int
) -> None:
    value = in_a_record(SPAN + encode_varint(tag) + bytes(9))
    twins.compare(value)
    for plan in PLANS:
        assert not scans(value, plan).fragments
