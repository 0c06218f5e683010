"""Attributes under `compatibility: collector`: as the Collector v0.158 reads them."""

from collections.abc import Mapping

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.otlp.scan import scan
from stream.sampling.matcher import Matcher
from stream.settings.compiled import policies_of
from stream.settings.load import load
from stream.settings.model import Settings
from stream.testing.spans import a_span, resource_spans, span_id_of, traces_data


def kept(kind: str, options: dict[str, object], place: str, *values: AnyValue) -> tuple[bool, bool]:
    """Return the verdicts in both modes, the Collector's first."""
    verdicts = []
    for mode in ("collector", "fixed"):
        policy = {"name": "p", "type": kind, kind: {"key": "k", **options}}
        settings = Settings.model_validate(
            {"compatibility": mode, "tail_sampling": {"policies": [policy]}}
        )
        matcher = Matcher()
        policies = policies_of(settings.tail_sampling, matcher, as_collector=mode == "collector")
        span = a_span()
        group = resource_spans([span])
        holder = group.scope_spans[0].spans[0] if place == "span" else group.resource
        holder.attributes.extend([KeyValue(key="k", value=value) for value in values])
        (fragment,) = scan(traces_data(group), matcher.plan()).fragments
        verdicts.append(policies.judge(fragment).policy == "p")
    return verdicts[0], verdicts[1]


TEXT, EMPTY = AnyValue(string_value="5"), AnyValue(string_value="")
INT, ZERO, DOUBLE = AnyValue(int_value=5), AnyValue(int_value=0), AnyValue(double_value=5.0)
TRUE, FALSE, NOTHING = AnyValue(bool_value=True), AnyValue(bool_value=False), AnyValue()
OCTETS = AnyValue(bytes_value=b"5")


@pytest.mark.parametrize("place", ["span", "resource"])
@pytest.mark.parametrize(
    ("options", "value", "expected"),
    [
        ({"min_value": 1, "max_value": 9}, INT, (True, True)),
        ({"min_value": 1, "max_value": 9}, DOUBLE, (False, True)),
        ({"min_value": 1, "max_value": 9}, TEXT, (False, False)),
        ({"max_value": 9}, TEXT, (True, False)),
        ({"max_value": 9}, DOUBLE, (True, True)),
        ({"max_value": 4}, DOUBLE, (True, False)),
        ({"max_value": 4}, TRUE, (True, False)),
        ({"max_value": 4}, NOTHING, (True, False)),
        ({"min_value": -5, "max_value": 0}, INT, (True, False)),
        ({"min_value": 0, "max_value": 9}, AnyValue(int_value=-7), (True, False)),
        ({"min_value": 6, "max_value": 0}, INT, (False, False)),
    ],
)
def test_a_number_of_another_type_is_0_and_a_bound_of_0_is_none(
    options: dict[str, object], value: AnyValue, expected: tuple[bool, bool], place: str
) -> None:
    if options == {"min_value": 6, "max_value": 0}:  # refused where 0 is a bound
        options = {"min_value": 6}
    assert kept("numeric_attribute", options, place, value) == expected
    inverted = {**options, "invert_match": True}
    turned = tuple(not each for each in expected)
    assert kept("numeric_attribute", inverted, place, value) == turned


@pytest.mark.parametrize("place", ["span", "resource"])
@pytest.mark.parametrize(
    ("wanted", "value", "expected"),
    [
        (False, FALSE, (True, True)),
        (False, TRUE, (False, False)),
        (False, TEXT, (True, False)),
        (False, ZERO, (True, False)),
        (False, NOTHING, (True, False)),
        (True, TRUE, (True, True)),
        (True, TEXT, (False, False)),
    ],
)
def test_what_is_no_boolean_is_false(
    *, wanted: bool, value: AnyValue, expected: tuple[bool, bool], place: str
) -> None:
    assert kept("boolean_attribute", {"value": wanted}, place, value) == expected


@pytest.mark.parametrize(
    ("options", "place", "value", "expected"),
    [
        ({"values": ["5", ""]}, "span", TEXT, (True, True)),
        ({"values": ["5", ""]}, "span", EMPTY, (False, True)),
        ({"values": ["5", ""]}, "resource", EMPTY, (False, True)),
        ({"values": ["5"]}, "span", INT, (False, False)),
        ({"values": ["5"]}, "span", OCTETS, (False, False)),
        ({"values": ["^$"], "enabled_regex_matching": True}, "span", EMPTY, (False, True)),
        ({"values": ["^$"], "enabled_regex_matching": True}, "resource", EMPTY, (True, True)),
        ({"values": ["^$"], "enabled_regex_matching": True}, "resource", INT, (True, False)),
        ({"values": ["^$"], "enabled_regex_matching": True}, "span", INT, (False, False)),
        ({"values": ["5"], "enabled_regex_matching": True}, "span", TEXT, (True, True)),
    ],
)
def test_an_empty_text_of_a_span_is_none_and_what_is_no_text_of_a_resource_is_empty(
    options: dict[str, object], place: str, value: AnyValue, expected: tuple[bool, bool]
) -> None:
    assert kept("string_attribute", options, place, value) == expected


def test_of_attributes_with_one_key_the_first_counts_in_the_collector() -> None:
    options: dict[str, object] = {"values": ["5"]}
    other = AnyValue(string_value="6")
    assert kept("string_attribute", options, "span", other, TEXT) == (False, True)
    assert kept("string_attribute", options, "span", TEXT, other) == (True, True)


def judged(policy: Mapping[str, object], *spans: Span) -> tuple[bool, bool]:
    """Return whether a trace is kept in both modes, the Collector's first."""
    verdicts = []
    for mode in ("collector", "fixed"):
        settings = Settings.model_validate(
            {"compatibility": mode, "tail_sampling": {"policies": [{"name": "p", **policy}]}}
        )
        matcher = Matcher()
        policies = policies_of(settings.tail_sampling, matcher, as_collector=mode == "collector")
        body = traces_data(*spans)
        (fragment,) = scan(body, matcher.plan()).fragments
        if policies.look_back is not None:
            bodies = [body]
            fragment.bits = policies.look_back(fragment.bits, lambda bodies=bodies: bodies)  # type: ignore[misc]  # its own
        verdicts.append(policies.judge(fragment).policy == "p")
    return verdicts[0], verdicts[1]


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, (True, True)), (1, (False, False)), (3, (False, True)), (-1, (False, True))],
)
def test_a_status_code_that_otlp_does_not_define_is_unset_but_not_for_the_collector(
    code: int, expected: tuple[bool, bool]
) -> None:
    unset = {"type": "status_code", "status_code": {"status_codes": ["UNSET"]}}
    assert judged(unset, a_span(status=code, status_message="m")) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(251, (True, True)), (252, (False, True)), (256, (False, True))]
)
def test_the_collector_ignores_a_value_of_a_tracestate_that_is_long_with_its_key(
    size: int, expected: tuple[bool, bool]
) -> None:
    value = "v" * size
    policy = {"type": "trace_state", "trace_state": {"key": "rojo", "values": [value]}}
    assert judged(policy, a_span(trace_state=f"rojo={value}")) == expected


HIGH, LOW = "ot=rv:f0000000000000", "ot=rv:00000000000001"
LOW_ID, HIGH_ID = b"\x01" * 16, b"\x01" * 9 + b"\xf0" * 7


@pytest.mark.parametrize(
    ("trace_id", "states", "expected"),
    [
        (LOW_ID, [HIGH], (True, True)),
        (HIGH_ID, [LOW], (False, False)),
        (LOW_ID, [LOW, HIGH], (False, True)),
        (LOW_ID, [HIGH, LOW], (True, True)),
        (LOW_ID, ["ot=th:0", HIGH], (True, True)),
        (LOW_ID, ["ot=rv:F0000000000000"], (True, False)),
        (LOW_ID, ["ot=rv:00000000000001;rv:f0000000000000"], (True, False)),
        (LOW_ID, ["ot=th:0;th:0"], (False, False)),
        (LOW_ID, [f"{HIGH},ot=th:4"], (False, False)),
        (LOW_ID, [",".join([HIGH] + [f"k{number}=1" for number in range(30)])], (True, True)),
        (LOW_ID, [",".join([HIGH] + [f"k{number}=1" for number in range(31)])], (False, True)),
        (LOW_ID, [f"{HIGH},", " " + HIGH + "\t"], (True, True)),
        (LOW_ID, ["ot=rv:f0000000000000;th:xyz", HIGH], (True, True)),
        (LOW_ID, ["ot=rv:f000000000000"], (False, False)),
    ],
)
def test_the_collector_takes_the_first_randomness_and_reads_it_more_generously(
    trace_id: bytes, states: list[str], expected: tuple[bool, bool]
) -> None:
    # By the hash of either id nothing is kept.
    options = {"sampling_percentage": 10, "mode": "trace_state", "hash_salt": "b"}
    policy = {"type": "probabilistic", "probabilistic": options}
    assert not any(judged(policy, a_span(trace_id=trace_id)))
    spans = [
        a_span(trace_id=trace_id, span_id=span_id_of(number), trace_state=state)
        for number, state in enumerate(states, start=1)
    ]
    assert judged(policy, *spans) == expected


def test_an_attribute_that_is_not_there_is_none_of_these() -> None:
    assert kept("numeric_attribute", {"max_value": 9}, "span") == (False, False)
    assert kept("boolean_attribute", {"value": False}, "span") == (False, False)


NOTED = """
[{name: slow, type: latency, latency: {threshold_ms: 5, upper_threshold_ms: 9}},
 {name: root, type: latency, latency: {threshold_ms: 5, root: true}},
 {name: plain, type: string_attribute, string_attribute: {key: k, values: [a]}},
 {name: empty, type: string_attribute, string_attribute: {key: k, values: [a, '']}},
 {name: some, type: string_attribute,
  string_attribute: {key: k, values: [a+], enabled_regex_matching: true}},
 {name: any, type: string_attribute,
  string_attribute: {key: k, values: ['a*'], enabled_regex_matching: true}},
 {name: both, type: and, and: {and_sub_policy: [
   {type: boolean_attribute, boolean_attribute: {key: k, value: true}},
   {type: boolean_attribute, boolean_attribute: {key: k, value: false}},
   {type: numeric_attribute, numeric_attribute: {key: k, min_value: 0, max_value: 7}}]}},
 {name: same, type: and, and: {same_span: true, and_sub_policy: [
   {type: numeric_attribute, numeric_attribute: {key: k, min_value: 5}}]}},
 {name: ottl, type: ottl_condition, ottl_condition: {error_mode: propagate, span: ['true']}},
 {name: ignoring, type: ottl_condition, ottl_condition: {span: ['true']}},
 {name: unset, type: status_code, status_code: {status_codes: [ERROR, UNSET]}},
 {name: share, type: probabilistic, probabilistic: {sampling_percentage: 5, mode: trace_state}},
 {name: state, type: trace_state, trace_state: {key: k, values: [a]}},
 {name: long, type: trace_state, trace_state: {key: k, values: [%s]}}]
""" % ("v" * 255)


@pytest.mark.parametrize("mode", ["fixed", "collector"])
def test_the_start_names_each_place_where_verdicts_differ_and_no_other(mode: str) -> None:
    settings = load(None, [f"compatibility={mode}", f"tail_sampling.policies={NOTED}"], {})
    notes = settings.notes()
    other = "fixed" if mode == "collector" else "collector"
    assert all("the Collector v0.158" in note for note in notes)
    assert all(f"compatibility: {other}" in note for note in notes)
    places = [note.partition(": ")[0].removeprefix("tail_sampling.policies") for note in notes]
    assert places == [
        "[0].latency.threshold_ms (slow)",
        "[0].latency.upper_threshold_ms (slow)",
        "[3].string_attribute.values (empty)",
        "[5].string_attribute.values (any)",
        "[6].and.and_sub_policy[1].boolean_attribute.value",
        "[6].and.and_sub_policy[2].numeric_attribute.min_value",
        "[6].and.and_sub_policy[2].numeric_attribute.key",
        "[8].ottl_condition.error_mode (ottl)",
        "[10].status_code.status_codes (unset)",
        "[11].probabilistic.mode (share)",
        "[13].trace_state.values (long)",
        "",  # all attributes
    ]
