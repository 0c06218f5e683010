"""Policies on tracestate, on trace flags and on the root span's own duration."""

from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from stream.otlp.scan import scan
from stream.otlp.trace_state_value import trace_state_value
from stream.sampling.matcher import Matcher
from stream.settings.compiled import policies_of
from stream.settings.errors import SettingsError
from stream.settings.load import load
from stream.testing.spans import MS, START_NS, Attribute, a_span, span_id_of, traces_data

PARENT = span_id_of(9)
TRACE_STATE = "{key: vendor, values: [a, b]}"


def kept(tmp_path: Path, policy: str, *spans: Span) -> bool:
    path = tmp_path / "tailstream.yaml"
    path.write_text(f"tail_sampling: {{policies: [{{name: p, {policy}}}]}}")
    matcher = Matcher()
    policies = policies_of(load(path, [], {}).tail_sampling, matcher)
    (fragment,) = scan(traces_data(*spans), matcher.plan()).fragments
    return policies.judge(fragment).policy == "p"


@pytest.mark.parametrize(
    ("trace_state", "expected"),
    [
        ("vendor=a", True),
        ("x=1,vendor=b", True),
        ("x=1 , \tvendor=b \t", True),
        ("vendor=c", False),
        ("vendor=A", False),
        ("x=vendor=a", False),
        ("x=a", False),
        ("", False),
        ("vendor=a,vendor=a", False),
        ("vendor=a,X=1", False),
        ("vendor=a,,", True),
        ("vendor=a, ", False),
        (",".join(["vendor=a", *(f"k{i}=1" for i in range(31))]), True),
        (",".join(["vendor=a", *(f"k{i}=1" for i in range(32))]), False),
    ],
)
def test_a_member_of_the_tracestate_keeps_the_trace(
    trace_state: str, expected: object, tmp_path: Path
) -> None:
    policy = f"type: trace_state, trace_state: {TRACE_STATE}"
    assert kept(tmp_path, policy, a_span(), a_span(trace_state=trace_state)) is expected


@pytest.mark.parametrize(
    ("key", "read"),
    [
        (b"a", b"v"),
        (b"a" * 256, b"v"),
        (b"a" * 257, None),
        (b"1a", None),
        (b"1a@b", b"v"),
        (b"a" * 241 + b"@b", b"v"),
        (b"a" * 242 + b"@b", None),
        (b"a@" + b"b" * 14, b"v"),
        (b"a@" + b"b" * 15, None),
        (b"a@1", None),
        (b"a@b@c", None),
        (b"A", None),
        (b"", None),
    ],
)
def test_a_key_has_w3cs_grammar(key: bytes, read: bytes | None) -> None:
    assert trace_state_value(key + b"=v", key) == read


@pytest.mark.parametrize(
    ("value", "good"),
    [(b"x" * 256, True), (b"x" * 257, False), (b"a b", True), (b"a=b", False), (b"a\x7f", False)],
)
def test_a_value_has_w3cs_grammar(value: bytes, good: object) -> None:
    assert trace_state_value(b"k=" + value, b"k") == (value if good else None)


@pytest.mark.parametrize(
    ("flags", "expected"), [(0, False), (1, True), (0x100, False), (0x301, True), (2, False)]
)
def test_the_sampled_flag_keeps_the_trace(flags: int, expected: object, tmp_path: Path) -> None:
    assert kept(tmp_path, "type: trace_flags", a_span(), a_span(flags=flags)) is expected


def lasting(duration_ns: int, parent: bytes = b"", start_ns: int = START_NS) -> Span:
    return a_span(parent_span_id=parent, start_ns=start_ns, end_ns=start_ns + duration_ns)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([lasting(101 * MS)], True),
        ([lasting(100 * MS)], False),
        ([lasting(101 * MS - 1)], False),
        ([lasting(200 * MS + MS - 1)], True),
        ([lasting(201 * MS)], False),
        ([lasting(150 * MS, PARENT)], False),
        ([lasting(50 * MS), lasting(150 * MS, PARENT)], False),
        ([lasting(500 * MS, PARENT), lasting(150 * MS)], True),
        ([lasting(150 * MS, b"\0" * 8)], True),
        ([lasting(150 * MS, start_ns=0)], False),
        ([lasting(-150 * MS)], False),
    ],
)
def test_the_root_span_alone_can_be_asked_how_long_it_took(
    spans: list[Span], expected: object, tmp_path: Path
) -> None:
    options = "{threshold_ms: 100, upper_threshold_ms: 200, root: true}"
    assert kept(tmp_path, f"type: latency, latency: {options}", *spans) is expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{key: Vendor, values: [a]}", ".trace_state.key = "),
        ("{key: vendor, values: [a, '']}", ".trace_state.values[1] = "),
        ("{key: vendor, values: ['a=b']}", ".trace_state.values[0] = "),
        ("{key: vendor, values: []}", ".trace_state.values = []: empty"),
    ],
)
def test_what_no_tracestate_can_hold_stops_the_start(
    options: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as refused:
        kept(tmp_path, f"type: trace_state, trace_state: {options}", a_span())
    assert said in str(refused.value)


ONE_SPAN = """[
  {type: status_code, status_code: {status_codes: [ERROR]}},
  {type: string_attribute, string_attribute: {key: k, values: ['{}', "it's \\"x\\" \\\\"]}},
  {type: not, not: {not_sub_policy: {type: boolean_attribute,
    boolean_attribute: {key: b, value: true}}}},
]"""
REGEX = "{key: k, values: [a, '^c$'], enabled_regex_matching: true}"
ERROR = Status.STATUS_CODE_ERROR


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([a_span(status=ERROR, attributes={"k": "{}"})], True),
        ([a_span(status=ERROR, attributes={"k": 'it\'s "x" \\'})], True),
        ([a_span(status=ERROR), a_span(attributes={"k": "{}"})], False),
        ([a_span(status=ERROR, attributes={"k": "{}", "b": True})], False),
        ([a_span(status=ERROR, attributes={"k": "{}"}), a_span(attributes={"b": True})], True),
    ],
)
def test_with_same_span_one_span_must_meet_all(
    spans: list[Span], expected: object, tmp_path: Path
) -> None:
    for number, span in enumerate(spans):
        span.span_id = span_id_of(number)
    options = f"{{same_span: true, and_sub_policy: {ONE_SPAN}}}"
    assert kept(tmp_path, f"type: and, and: {options}", *spans) is expected


@pytest.mark.parametrize(
    "policy",
    [
        "type: status_code, status_code: {status_codes: [OK, ERROR]}",
        "type: string_attribute, string_attribute: {key: k, values: [a, '']}",
        f"type: string_attribute, string_attribute: {REGEX}",
        "type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}",
        "type: numeric_attribute, numeric_attribute: {key: k, min_value: 0}",
        "type: numeric_attribute, numeric_attribute: {key: k, min_value: -5, max_value: 5}",
        "type: numeric_attribute, numeric_attribute: {key: k, max_value: 0, invert_match: true}",
        "type: boolean_attribute, boolean_attribute: {key: k, value: false}",
        "type: trace_state, trace_state: {key: vendor, values: [a]}",
        "type: trace_flags",
        "type: ottl_condition, ottl_condition: {span: ['span.kind == 1', 'true and false']}",
    ],
)
def test_for_a_trace_of_one_span_same_span_changes_nothing(policy: str, tmp_path: Path) -> None:
    within = f"type: and, and: {{same_span: true, and_sub_policy: [{{{policy}}}]}}"
    values: tuple[Attribute, ...] = ("a", "", "xax", "cc", "c", 0, -5, 6, 5.0, -5.5, True, False)
    seen = set()
    for value in values:
        for span in (
            a_span(attributes={"k": value}, status=ERROR, flags=0x101, trace_state="vendor=a"),
            a_span(attributes={"k": [str(value)]}, kind=1),
        ):
            expected = kept(tmp_path, policy, span)
            assert kept(tmp_path, within, span) is expected, span
            seen.add(expected)
    assert seen == {True, False}


def test_same_span_takes_policies_on_spans_only(tmp_path: Path) -> None:
    for sub in (
        "{name: s, type: span_count, span_count: {min_spans: 2}}",
        "{name: s, type: ottl_condition, ottl_condition: {spanevent: ['true']}}",
        "{type: not, not: {not_sub_policy: {name: s, type: always_sample}}}",
    ):
        with pytest.raises(SettingsError, match="no single span can meet it"):
            kept(tmp_path, f"type: and, and: {{same_span: true, and_sub_policy: [{sub}]}}")


def test_same_span_of_too_many_values_stops_the_start(tmp_path: Path) -> None:
    sub = f"{{type: string_attribute, string_attribute: {{key: k, values: [{'x, ' * 2000}]}}}}"
    with pytest.raises(SettingsError, match="too much for one condition"):
        kept(tmp_path, f"type: and, and: {{same_span: true, and_sub_policy: [{sub}]}}")
