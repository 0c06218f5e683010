import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.otlp.stamp import Stamp, stamp_span
from stream.otlp.tracestate import THRESHOLD_MAX, raise_threshold
from stream.otlp.wire import framed
from stream.testing.spans import Attribute, a_span, key_values
from stream.testing.strategies import spans

POLICY, TRIGGER = "tailstream.policy", "tailstream.trigger"
STAMP = Stamp("spans", "errors", "decision_wait")
HALF = 1 << 55  # th:8
TH_C = 0xC0000000000000
LONG_OT = "ot=th:1;x:" + "a" * 247  # 254 bytes of value
FULL = ",".join(f"k{i}=v" for i in range(32))


def stamped(span: bytes, stamp: Stamp = STAMP, *, root: bool = True) -> bytes:
    return stamp_span(span, stamp, stamp.attributes(), root=root)


def attributes_of(span: bytes) -> list[tuple[str, str]]:
    return [(each.key, each.value.string_value) for each in Span.FromString(span).attributes]


@given(spans())
def test_a_stamp_is_two_attributes_behind_the_bytes_of_the_span(span: Span) -> None:
    content = span.SerializeToString()
    after = stamped(content)
    assert after.startswith(content)
    span.attributes.extend(key_values({POLICY: "errors", TRIGGER: "decision_wait"}))
    assert Span.FromString(after) == span


@given(spans())
def test_stamping_again_leaves_one_of_each(span: Span) -> None:
    once = stamped(span.SerializeToString(), Stamp("spans", "slow", "late"))
    assert stamped(once) == stamped(span.SerializeToString())


def test_stamps_of_another_sampler_are_replaced_and_names_like_them_are_kept() -> None:
    before: dict[str, Attribute] = {
        TRIGGER: 7,
        "a": "1",
        POLICY: "old",
        "tailstream.policy.x": "2",
        "b": POLICY,
    }
    span = a_span(attributes=before).SerializeToString()
    assert attributes_of(stamped(span)) == [
        ("a", "1"),
        ("tailstream.policy.x", "2"),
        ("b", POLICY),
        (POLICY, "errors"),
        (TRIGGER, "decision_wait"),
    ]


def test_an_attribute_that_cannot_be_decoded_is_kept_as_it_came() -> None:
    broken = framed(0x4A, b"\x0a\xff" + POLICY.encode())
    span = a_span().SerializeToString() + broken
    assert stamped(span) == span + STAMP.attributes()


def test_the_key_of_an_attribute_is_the_last_one_in_it() -> None:
    renamed = framed(0x4A, framed(0x0A, POLICY.encode()) + framed(0x0A, b"mine"))
    span = a_span().SerializeToString() + renamed
    assert attributes_of(stamped(span))[0] == ("mine", "")


@pytest.mark.parametrize(
    ("mode", "root", "has_attributes", "trace_state"),
    [
        ("spans", True, True, "ot=th:8"),
        ("spans", False, True, "ot=th:8"),
        ("root", True, True, "ot=th:8"),
        ("root", False, False, "ot=th:8"),
        ("none", True, False, ""),
        ("none", False, False, ""),
    ],
)
def test_the_mode_chooses_spans_for_the_attributes_and_none_turns_all_off(
    mode: str, trace_state: str, *, root: bool, has_attributes: bool
) -> None:
    stamp = Stamp(mode, "rest", "decision_wait", HALF)  # type: ignore[arg-type]  # one of three
    after = stamped(a_span().SerializeToString(), stamp, root=root)
    assert bool(attributes_of(after)) is has_attributes
    assert Span.FromString(after).trace_state == trace_state


def test_without_a_threshold_the_tracestate_is_not_touched() -> None:
    span = a_span(trace_state="b=2 , ot=th:4").SerializeToString()
    assert stamped(span).startswith(span)


def test_the_tracestate_is_replaced_in_its_place() -> None:
    def content(trace_state: str) -> bytes:
        return a_span(trace_state=trace_state, attributes={"a": 1}).SerializeToString()

    stamp = Stamp("root", "rest", "decision_wait", HALF)
    assert stamped(content("a=1"), stamp, root=False) == content("ot=th:8,a=1")
    assert stamped(content("ot=th:c"), stamp, root=False) == content("ot=th:c")


def test_of_two_tracestate_fields_the_last_one_counts() -> None:
    span = a_span(trace_state="ot=th:f").SerializeToString() + framed(0x1A, b"ot=rv:" + b"1" * 14)
    after = stamped(span, Stamp("spans", "rest", "decision_wait", HALF))
    assert Span.FromString(after).trace_state == "ot=th:8;rv:" + "1" * 14


def test_policies_may_have_any_name() -> None:
    for name in ("", "überlänge" * 40):
        after = stamped(b"", Stamp("spans", name, "late"))
        assert attributes_of(after) == [(POLICY, name), (TRIGGER, "late")]


@pytest.mark.parametrize(
    ("before", "threshold", "after"),
    [
        # a new member
        ("", HALF, "ot=th:8"),
        ("  ", HALF, "ot=th:8"),
        ("a=1", HALF, "ot=th:8,a=1"),
        ("a=1,b=2", HALF, "ot=th:8,a=1,b=2"),
        # hex: 14 digits, zeros on the right stripped, zeros on the left kept
        ("", TH_C, "ot=th:c"),
        ("", 0xFD70A400000000, "ot=th:fd70a4"),
        ("", 0x08000000000000, "ot=th:08"),
        ("", 1, "ot=th:00000000000001"),
        ("", THRESHOLD_MAX, "ot=th:ffffffffffffff"),
        # the member moves to the left, the others keep their order
        ("a=1,ot=th:4,b=2", HALF, "ot=th:8,a=1,b=2"),
        ("a=1,ot=rv:00000000000001", HALF, "ot=th:8;rv:00000000000001,a=1"),
        ("ot=rv:abcdef01234567;th:1;x:Y.z-_9", HALF, "ot=th:8;rv:abcdef01234567;x:Y.z-_9"),
        ("ot=x:", HALF, "ot=th:8;x:"),
        ("a=1, b=2\t,,\t c=3 ", HALF, "ot=th:8,a=1,b=2,c=3"),
        ("a=1,a=2", HALF, "ot=th:8,a=1,a=2"),
        ("0a=1,fw529a3039@dt=FfA b,a_-*/=!", HALF, "ot=th:8,0a=1,fw529a3039@dt=FfA b,a_-*/=!"),
        # a threshold only rises
        ("ot=th:0", HALF, "ot=th:8"),
        ("ot=th:7fffffffffffff", HALF, "ot=th:8"),
        ("ot=th:08", HALF, "ot=th:8"),
        ("ot=th:8", HALF, "ot=th:8"),
        ("ot=th:80000", HALF, "ot=th:80000"),
        ("ot=th:80000000000001", HALF, "ot=th:80000000000001"),
        ("a=1 ,ot=th:c", HALF, "a=1 ,ot=th:c"),
        # left as it was: no room
        (FULL, HALF, FULL),
        (FULL.replace("k9=v", "ot=th:1"), HALF, "ot=th:8," + FULL.replace("k9=v,", "")),
        (FULL + ",ot=th:1", HALF, FULL + ",ot=th:1"),
        (LONG_OT, HALF, LONG_OT.replace("th:1", "th:8")),
        (LONG_OT, HALF + 1, LONG_OT),
        # left as it was: the list breaks the grammar
        ("A=1", HALF, "A=1"),
        ("a", HALF, "a"),
        ("a=", HALF, "a="),
        ("a=1=2", HALF, "a=1=2"),
        ("=1", HALF, "=1"),
        ("a =1", HALF, "a =1"),
        ("@a=1", HALF, "@a=1"),
        ("a.b=1", HALF, "a.b=1"),
        ("a=1;b=ü", HALF, "a=1;b=ü"),
        ("a=1\n", HALF, "a=1\n"),
        ("k" * 257 + "=1", HALF, "k" * 257 + "=1"),
        ("k" * 256 + "=1", HALF, "ot=th:8," + "k" * 256 + "=1"),
        ("a=" + "v" * 257, HALF, "a=" + "v" * 257),
        ("a=" + "v" * 256, HALF, "ot=th:8,a=" + "v" * 256),
        # left as it was: our member does
        ("ot=th:", HALF, "ot=th:"),
        ("ot=th:C", HALF, "ot=th:C"),
        ("ot=th:123456789abcdef", HALF, "ot=th:123456789abcdef"),
        ("ot=th:x", HALF, "ot=th:x"),
        ("ot=rv:123", HALF, "ot=rv:123"),
        ("ot=th:1;th:2", HALF, "ot=th:1;th:2"),
        ("ot=th:1;", HALF, "ot=th:1;"),
        ("ot=th", HALF, "ot=th"),
        ("ot=Th:1", HALF, "ot=Th:1"),
        ("ot=x:a b", HALF, "ot=x:a b"),
        ("ot=th:1,ot=th:2", HALF, "ot=th:1,ot=th:2"),
    ],
)
def test_a_threshold_in_a_tracestate(before: str, threshold: int, after: str) -> None:
    assert raise_threshold(before.encode(), threshold).decode() == after


@given(
    st.binary(max_size=80)
    | st.from_regex(rb"(ot=(th:[0-9a-f]{1,4};?|rv:[0-9]{14};?){0,3},?| ,|a=1)+"),
    st.integers(1, THRESHOLD_MAX),
)
def test_raising_twice_is_raising_once(before: bytes, threshold: int) -> None:
    once = raise_threshold(before, threshold)
    assert raise_threshold(once, threshold) == once
    assert once == before or once.startswith(b"ot=th:")
