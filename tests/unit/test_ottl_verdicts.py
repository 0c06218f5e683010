"""Conditions against what the Collector's own OTTL says of them.

`vectors/ottl_verdicts.json` holds [kind, condition, verdicts], recorded with contrib's pkg/ottl
v0.158.0 (standard converters and IsRootSpan, paths with context names) over
`vectors/ottl_spans.json`: for each span, or each span event, in order, `1` true, `0` false, `e` an
error; null where it refuses the condition at start.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from stream.otlp.frames import RESOURCE_SPANS, SCOPE_SPANS, SPAN
from stream.otlp.otlp_json import to_protobuf
from stream.otlp.wire import children
from stream.sampling.ottl.compile import compile_condition
from stream.sampling.ottl.errors import BadCondition, Failed
from stream.sampling.ottl.functions import FUNCTIONS
from stream.sampling.ottl.message import Message
from stream.sampling.ottl.paths import Kind
from stream.sampling.ottl.view import EVENTS, Envelope, View
from stream.testing.spans import a_span, key_values, traces_data

VECTORS: Final = Path(__file__).parent / "vectors"
RECORD: Final = to_protobuf((VECTORS / "ottl_spans.json").read_bytes())
RECORDED: Final[list[tuple[Kind, str, str | None]]] = json.loads(
    (VECTORS / "ottl_verdicts.json").read_text()
)
OURS_ALONE: Final = {'span.attributes["list"][1 - 1] == "a"'}  # its parser stops after the 1
REFUSED_BY_US: Final = {"IsRootSpan(1)"}  # it takes no argument, which the Collector overlooks


def views(kind: Kind) -> Iterator[View]:
    for _, resource_start, resource_end in children(RECORD, 0, len(RECORD), RESOURCE_SPANS):
        resource = Envelope(RECORD, resource_start, resource_end)
        for _, start, end in children(RECORD, resource_start, resource_end, SCOPE_SPANS):
            scope = Envelope(RECORD, start, end)
            for _, first, last in children(RECORD, start, end, SPAN):
                view = View(RECORD, resource, scope, first, last)
                if kind == "span":
                    yield view
                    continue
                for event in view.span.ranges(EVENTS):
                    view.event = Message(RECORD, [event])
                    yield view


def verdicts(kind: Kind, condition: str) -> str | None:
    try:
        evaluate = compile_condition(condition, kind)
    except BadCondition:
        return None
    said = ""
    for view in views(kind):
        try:
            said += "1" if evaluate(view) else "0"
        except Failed:
            said += "e"
    return said


def test_every_condition_has_the_collectors_verdicts() -> None:
    wrong = []
    for kind, condition, theirs in RECORDED:
        ours = verdicts(kind, condition)
        # What fails for every span we may tell at start, and so refuse.
        as_good = theirs is not None and ours is None and set(theirs) == {"e"}
        if ours != theirs and not as_good and condition not in OURS_ALONE | REFUSED_BY_US:
            wrong.append(f"{condition}: ours {ours}, theirs {theirs}")
    assert not wrong, "\n".join(wrong)
    assert len(RECORDED) > 600


def test_the_vectors_hold_every_outcome_and_every_function() -> None:
    said = {outcome for _, _, theirs in RECORDED for outcome in theirs or "-"}
    assert said == {"0", "1", "e", "-"}
    texts = " ".join(condition for _, condition, _ in RECORDED)
    assert [name for name in FUNCTIONS if f"{name}(" not in texts] == []


@pytest.mark.parametrize(
    ("legacy", "condition"),
    [
        ('name == "select"', 'span.name == "select"'),
        ("status.code == STATUS_CODE_ERROR", "span.status.code == STATUS_CODE_ERROR"),
        ('attributes["ok"] == true', 'span.attributes["ok"] == true'),
    ],
)
def test_a_path_without_a_context_is_of_the_conditions_own(legacy: str, condition: str) -> None:
    assert verdicts("span", legacy) == verdicts("span", condition)
    assert "1" in (verdicts("span", legacy) or "")


def test_a_name_in_a_condition_on_span_events_is_the_events() -> None:
    assert verdicts("spanevent", 'name == "exception"') == "10101"


EVALUATED: Final = [
    (condition, compile_condition(condition, kind))
    for kind, condition, theirs in RECORDED
    if kind == "span" and theirs and "span." in condition and condition not in REFUSED_BY_US
    if set(theirs) != {"e"}
]
NAMES: Final = sorted(
    {name for c, _ in EVALUATED for name in re.findall(r'attributes\["(.*?)"\]', c)}
)
LONG: Final = st.sampled_from(
    ["9" * 5000, "0" * 5000 + "1", "9" * 5000 + "h", "[" * 5000, "1" * 200]
)
SCALARS: Final = st.one_of(
    *(st.text(max_size=9), LONG, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats()),
    *(
        st.binary(max_size=17),
        st.sampled_from(["1.5h", "0x1p9", "10.0.0.1", "[[1]]", '{"a":1e999}']),
    ),
)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_whatever_the_attributes_a_condition_is_true_false_or_fails(data: st.DataObject) -> None:
    scalar = data.draw(st.lists(SCALARS, min_size=1, max_size=4))
    span = a_span(name=data.draw(st.text(max_size=5)), trace_state=data.draw(st.text(max_size=9)))
    for index, name in enumerate(NAMES):
        value = key_values({name: scalar[index % len(scalar)]})[0]
        if index % 5 == data.draw(st.integers(0, 9), label=name):
            nested = AnyValue(array_value=ArrayValue(values=[value.value]))
            value = KeyValue(key=name, value=nested)
        span.attributes.append(value)
    record = traces_data(span)
    envelope = Envelope(record, 0, 0)
    view = View(record, envelope, envelope, record.index(span.SerializeToString()), len(record))
    for condition, evaluate in EVALUATED:
        try:
            assert type(evaluate(view)) is bool, condition
        except Failed:
            continue
