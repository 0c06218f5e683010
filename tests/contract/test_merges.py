"""The compiled merge and its pure-Python twin deliver the same bytes."""

from collections.abc import Callable
from itertools import pairwise, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.otlp._decodable import is_surely_decodable
from stream.otlp.decodable import is_decodable
from stream.otlp.merge import Merged, merge, merge_in_python
from stream.otlp.stamp import Stamp
from stream.otlp.tracestate import THRESHOLD_MAX, UNKNOWN_THRESHOLD
from stream.otlp.wire import CHILDREN_MAX, TooLarge, encode_varint, framed
from stream.testing.spans import a_span, a_trace, resource_spans, span_id_of, traces_data
from stream.testing.strategies import SPAN_KEYS, TRACE_IDS, records, spans
from tests.fuzz.odd_merges import NO_LIMIT, STAMPS, Merges
from tests.fuzz.twins import Disagreement

SEED = 20_261_122
MERGES = 6_000
SPAN = a_span().SerializeToString()
SPANS_STAMP, THRESHOLD_STAMP = STAMPS[0], STAMPS[2]

Merge = Callable[..., Merged]
fragments = st.lists(records(spans(TRACE_IDS[:1])), max_size=4)
stamps = st.builds(
    Stamp,
    st.sampled_from(["spans", "root", "none"]),
    st.text(max_size=9),
    st.sampled_from(["late", "decision_wait"]),
    st.sampled_from([0, UNKNOWN_THRESHOLD]) | st.integers(1, THRESHOLD_MAX),
    st.booleans(),
    st.none() | st.integers(0, THRESHOLD_MAX),
)
limits = st.just(NO_LIMIT) | st.integers(1, 900)
seen_keys = st.sets(st.sampled_from(SPAN_KEYS), max_size=3).map(b"".join)
# What a list in a tracestate is made of, right and wrong.
PIECES = [
    *["ot", "a", "k1", "0v@x", "K", "é", "=", "=", ",", ",", ":", ";", "th", "rv", "x", "th:8"],
    *[
        "ot=th:1",
        "ot=rv:" + "1" * 14,
        "a=1",
        " ",
        "\t",
        "v" * 256,
        "v" * 255,
        "~",
        "!",
        "",
        "a" * 9,
    ],
    *[",".join(f"k{number}=v" for number in range(30)), ",a=1", ",ot=th:c", "a=b c,d*/-_@=~"],
]
trace_states = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@pytest.fixture(scope="module")
def merges() -> Merges:
    return Merges()


@pytest.fixture(params=[merge, merge_in_python], ids=["compiled", "python"])
def merges_by(request: pytest.FixtureRequest) -> Merge:
    """Each of them: what is known of a delivery holds for both."""
    which: Merge = request.param
    return which


def in_a_record(span: bytes) -> bytes:
    return framed(0x0A, framed(0x12, framed(0x12, span)))


def merged_in_c(bodies: list[bytes], stamp: Stamp = SPANS_STAMP, limit: int = NO_LIMIT) -> Merged:
    merged = Merges().compare(bodies, stamp, limit)
    assert merged is not None, "it was left to the other"
    return merged


def test_they_agree_on_odd_and_on_broken_fragments() -> None:
    merges = Merges()
    merges.run(Random(SEED), MERGES)
    assert merges.compiled > merges.merges // 4, "the compiled one left nearly all to the other"


@settings(max_examples=300)
@given(bodies=fragments, stamp=stamps, limit=limits, seen=seen_keys)
def test_they_agree_on_any_legal_fragments(
    merges: Merges, bodies: list[bytes], stamp: Stamp, limit: int, seen: bytes
) -> None:
    merges.compare(bodies, stamp, limit, seen)


@settings(max_examples=300)
@given(bodies=fragments, stamp=stamps, share=st.floats(0, 1), less=st.integers(0, 2))
def test_they_agree_where_a_part_is_cut(
    merges: Merges, bodies: list[bytes], stamp: Stamp, share: float, less: int
) -> None:
    for part in merge_in_python(bodies, stamp, NO_LIMIT).parts:
        merges.compare(bodies, stamp, len(part) - less)
        merges.compare(bodies, stamp, round(len(part) * share))


@pytest.mark.parametrize("less", range(40))
def test_parts_are_cut_between_envelopes_of_every_level(less: int) -> None:
    unknown = framed(0x7A, b"u")
    spans_in = [framed(0x12, a_span(span_id=span_id_of(n)).SerializeToString()) for n in range(6)]
    scopes = [framed(0x12, one + unknown) for one in spans_in]
    resources = [framed(0x0A, one + other + unknown) for one, other in pairwise(scopes)]
    bodies = [b"".join(resources[:2]) + unknown, b"".join(resources[2:4]) + unknown, resources[4]]
    (whole,) = merged_in_c(bodies, STAMPS[5]).parts
    for parts in (1, 2, 3):
        merged_in_c(bodies, STAMPS[5], len(whole) // parts - less)


@settings(max_examples=200)
@given(bodies=fragments, first=stamps, again=stamps, limit=limits)
def test_they_agree_on_what_a_sampler_has_stamped_before(
    merges: Merges, bodies: list[bytes], first: Stamp, again: Stamp, limit: int
) -> None:
    merges.compare(merge_in_python(bodies, first, NO_LIMIT).parts, again, limit)


@settings(max_examples=200)
@given(
    bodies=st.lists(records(spans(TRACE_IDS[:1])), min_size=1, max_size=2),
    changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4),
    stamp=stamps,
)
def test_they_agree_on_fragments_with_bytes_changed(
    merges: Merges, bodies: list[bytes], changes: list[tuple[int, int]], stamp: Stamp
) -> None:
    mutated = bytearray(bodies[0] or b"\x0a\x00")
    for at, byte in changes:
        mutated[at % len(mutated)] = byte
    merges.compare([bytes(mutated), *bodies[1:]], stamp)


@settings(max_examples=500)
@given(states=st.lists(trace_states, min_size=1, max_size=3), stamp=st.sampled_from(STAMPS))
def test_they_agree_on_every_trace_state(states: list[str], stamp: Stamp) -> None:
    spans_with = [
        a_span(span_id=span_id_of(number), trace_state=state)
        for number, state in enumerate(states, start=1)
    ]
    merged_in_c([traces_data(spans_with)], stamp)


@pytest.mark.parametrize(
    "state",
    [
        *[",".join(f"k{number}=v" for number in range(count)) for count in (1, 31, 32, 33)],
        *["k" * size + "=v" for size in (255, 256, 257)],
        *["k=" + "v" * size for size in (255, 256, 257)],
        *["a=b ", "a= b", " a=b", "a=b\t", "a=b,", ",a=b", "a=b,,c=d", "a=b ,c=d", "a=b, c=d"],
        *["a", "a=", "=a", "a=b=c", "A=b", "aB=c", "a=é", "é=a", "_a=b", "0=1", "a=\x7f", "a=\x1f"],
        *["ot=th:1", "a=b,ot=th:f", "ou=th:1", "to=th:1", "ott=th:1", "ot=,a=b", "o=t", "ot="],
    ],
)
def test_they_agree_on_the_grammar_of_a_trace_state(state: str) -> None:
    for stamp in STAMPS:
        merged_in_c([traces_data(a_span(trace_state=state))], stamp)


KIND_FIELDS = [
    *(encode_varint(6 << 3) + encode_varint(kind) for kind in (0, 1, 2, 3, 130, 2**32 + 2)),
    *(encode_varint(6 << 3) + encode_varint(kind) for kind in (2**63 + 2, 2**64 - 1)),
    *(b"\x30\x82\x00", b"\xb0\x00\x02", b"\xb0\x80\x00\x82\x80\x00", b"\xb0\x00\x03"),
]
OTHER_FIELDS = [framed(0x12, span_id_of(2)), framed(0x12, span_id_of(3)), framed(0x2A, b"name")]


@settings(max_examples=300)
@given(
    made=st.lists(st.lists(st.sampled_from([*KIND_FIELDS, *OTHER_FIELDS]), max_size=6), max_size=6),
    seen=seen_keys,
)
def test_they_agree_which_spans_are_servers(made: list[list[bytes]], seen: bytes) -> None:
    ids = framed(0x0A, TRACE_IDS[0]) + framed(0x12, span_id_of(1))
    bodies = [in_a_record(b"".join([*fields, ids, *fields[::-1]])) for fields in made]
    assert Merges().compare(bodies, SPANS_STAMP, NO_LIMIT, seen) is not None


def test_they_agree_on_every_truncation_of_a_fragment(merges: Merges) -> None:
    value = traces_data(a_trace(1, error=True, attributes={"a": "x", "bb": 5, "cc": 0.5}))
    for size in range(len(value) + 1):
        merges.compare([value[:size]], THRESHOLD_STAMP)


@pytest.mark.parametrize("stamp", STAMPS, ids=str)
def test_the_compiled_one_merges_what_exporters_send(stamp: Stamp) -> None:
    first = traces_data(resource_spans(a_trace(1, attributes={"a": "é"}), service="gateway"))
    second = traces_data(resource_spans(a_trace(1, first_span=3), service="payment"))
    merged = merged_in_c([first, second], stamp)
    assert (merged.spans, merged.duplicates) == (5, 1)
    assert len(merged_in_c([first, second], stamp, len(merged.parts[0]) - 1).parts) == 2


def test_the_compiled_one_merges_as_many_spans_as_a_giant_has() -> None:
    bodies = [
        traces_data([a_span(span_id=span_id_of(number)) for number in range(first, first + 200)])
        for first in (1, 101, 3_001, 3_150)
    ]
    assert merged_in_c(bodies).duplicates == 151


def test_fields_between_the_children_of_an_envelope_go_behind_them(merges_by: Merge) -> None:
    def unknown(text: bytes) -> bytes:
        return framed(0x7A, text)

    one, two = (framed(0x12, a_span(span_id=span_id_of(n)).SerializeToString()) for n in (1, 2))
    empty = framed(0x12, unknown(b"no span"))
    scope = framed(0x12, unknown(b"a") + one + unknown(b"b") + two + unknown(b"c"))
    resource = framed(0x0A, unknown(b"d") + empty + unknown(b"e") + scope + unknown(b"f"))
    value = unknown(b"g") + framed(0x0A, b"") + unknown(b"h") + resource + unknown(b"i")
    after = framed(0x12, unknown(b"a") + one + two + unknown(b"b") + unknown(b"c"))
    expected = framed(0x0A, unknown(b"d") + after + unknown(b"e") + unknown(b"f"))
    merged = merges_by([value], STAMPS[5], NO_LIMIT)
    assert merged.parts == [unknown(b"g") + expected + unknown(b"h") + unknown(b"i")]
    merged_in_c([value])


def test_they_agree_which_bytes_are_text(merges: Merges) -> None:
    edges = [bytes([edge]) for edge in (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)]
    firsts = [bytes([first]) for first in range(0x80, 0x100)]
    for size in range(4):
        for text in map(b"".join, product(firsts, *[edges] * size)):
            for name in (text, b"0123456" + text + b"01234567"):
                assert is_surely_decodable(in_a_record(framed(0x2A, name))) is is_utf_8(text)
    merges.compare([in_a_record(SPAN + framed(0x2A, b"\xed\xa0\x80"))], SPANS_STAMP)


def is_utf_8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("tags", [(0x2A, 0x0A), (0x32, 0x0A, 0x12)], ids=["lists", "maps"])
def test_they_agree_how_deep_values_may_lie(merges: Merges, tags: tuple[int, ...]) -> None:
    value = framed(0x0A, b"x")
    for depth in range(60):
        body = in_a_record(SPAN + framed(0x4A, framed(0x0A, b"a") + framed(0x12, value)))
        assert is_surely_decodable(body) or depth > 25
        merges.compare([body], SPANS_STAMP)
        for tag in reversed(tags):
            value = framed(tag, value)
    assert not is_decodable(body)


@pytest.mark.parametrize("number", [1, 2, 7, 9, 16, 17, 31, 32, 1_000, 2**29 - 1])
@pytest.mark.parametrize("wire_type", range(8))
def test_they_agree_on_fields_of_every_wire_type(
    merges: Merges, number: int, wire_type: int
) -> None:
    for content in (b"\x00", b"\x01a", b"\x02\x08\x00", bytes(4), bytes(8), b"\xff" * 9 + b"\x01"):
        field = encode_varint(number << 3 | wire_type) + content
        for body in (
            field,
            framed(0x0A, framed(0x12, framed(0x12, SPAN)) + field),
            framed(0x0A, framed(0x12, framed(0x12, SPAN) + field)),
            in_a_record(SPAN + field),
            in_a_record(SPAN + framed(0x4A, field)),
            in_a_record(SPAN + framed(0x4A, framed(0x12, field))),
            in_a_record(SPAN + framed(0x5A, field)),
        ):
            merges.compare([body], SPANS_STAMP)


@pytest.mark.parametrize("last", [0, 1, 2, 3, 0x7F])
def test_a_number_of_more_than_64_bits_is_for_the_decoder_to_judge(last: int) -> None:
    body = in_a_record(SPAN + b"\x50" + b"\xff" * 9 + bytes([last]))
    assert is_surely_decodable(body) is (last < 2)
    assert is_decodable(body) or last > 1


@pytest.mark.parametrize("tag", [0x0A, 0x12, 0x22], ids=["resources", "scopes", "spans"])
def test_more_envelopes_or_spans_than_there_may_be_are_too_many(merges_by: Merge, tag: int) -> None:
    if tag == 0x22:
        many = framed(0x12, b"\x12\x08" + span_id_of(1)) * (CHILDREN_MAX + 1)
        value = framed(0x0A, framed(0x12, many))
    else:
        empty = bytes([tag, 0]) * (CHILDREN_MAX + 1)
        value = empty if tag == 0x0A else framed(0x0A, empty)
    with pytest.raises(TooLarge):
        merges_by([value], SPANS_STAMP, NO_LIMIT)


def test_an_id_of_another_length_is_no_less_an_id(merges_by: Merge) -> None:
    short = in_a_record(framed(0x12, b"1234567"))
    merged = merges_by([short, short, in_a_record(SPAN)], SPANS_STAMP, NO_LIMIT, b"123")
    assert (merged.spans, merged.duplicates) == (2, 1)


@pytest.mark.parametrize("shared", [True, False], ids=["one", "one each"])
@pytest.mark.parametrize("level", ["record", "resource", "scope"])
def test_envelopes_repeated_too_often_make_a_span_too_large(
    merges_by: Merge, level: str, *, shared: bool
) -> None:
    def around(this: str, tag: int, fields: list[bytes]) -> list[bytes]:
        filling = framed(0x7A, b"u" * 99_000) if this == level else b""
        both = [b"".join(fields) + filling] if shared else [one + filling for one in fields]
        return [framed(tag, one) if tag else one for one in both]

    name = framed(0x2A, b"n" * 150)
    fields = [framed(0x12, b"\x12\x08" + span_id_of(n) + name) for n in range(40)]
    scopes = around("scope", 0x12, fields)
    bodies = around("record", 0, around("resource", 0x0A, scopes))
    merged = merges_by(bodies, STAMPS[5], 99_200)
    assert sum(bad.spans for bad in merged.bad) == 40 - merged.spans
    assert (merged.spans < 40) is shared
    assert (Merges().compare(bodies, STAMPS[5], 99_200) is None) is shared


@pytest.mark.parametrize(
    "names",
    [
        *([], ["tailstream.policy"], ["tailstream.trigger"], ["tailstream.policy.x"]),
        *(["tailstream.policys"], ["tailstream.trigger", "a", "tailstream.policy"]),
    ],
    ids=str,
)
def test_they_agree_which_attributes_are_stamps(names: list[str]) -> None:
    span = a_span(attributes=dict.fromkeys(names, "before"))
    inside = span.events.add().attributes.add()
    inside.key = "tailstream.policy"
    for stamp in STAMPS:
        merged_in_c([traces_data(span)], stamp)


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(*_: object) -> Merged:
        return Merged([], 0, 0, b"", [])

    monkeypatch.setattr("tests.fuzz.odd_merges.merge_in_python", other)
    with pytest.raises(Disagreement):
        Merges().compare([in_a_record(SPAN)], SPANS_STAMP)
