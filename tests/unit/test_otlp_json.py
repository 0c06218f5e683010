import json
from base64 import b64decode
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from stream.otlp.fragment import BadSpans, DeadLetterReason, Scanned
from stream.otlp.otlp_json import to_protobuf
from stream.otlp.scan import ScanPlan, scan
from stream.otlp.wire import Malformed
from stream.testing.spans import (
    a_span,
    a_trace,
    decoded,
    resource_spans,
    span_id_of,
    spans_of,
    trace_id_of,
    traces_data,
)
from stream.testing.strategies import any_spans

PLAN = ScanPlan()
TRACE_HEX = "5b8efff798038103d269b633813fc60c"
ID_KEYS = ("traceId", "spanId", "parentSpanId")


def as_json(span: object, **more: object) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}], **more}).encode()


def with_hex_ids(holder: dict[str, Any]) -> dict[str, Any]:
    return {k: b64decode(v).hex() if k in ID_KEYS else v for k, v in holder.items()}


def otlp_json(value: bytes) -> bytes:
    """A record as an OTLP exporter writes it: json_format's mapping, hex ids, integer enums."""
    document = json_format.MessageToDict(decoded(value), use_integers_for_enums=True)
    for resource in document.get("resourceSpans", []):
        for scope in resource["scopeSpans"]:
            scope["spans"] = [
                {**with_hex_ids(span), "links": list(map(with_hex_ids, span.get("links", [])))}
                for span in scope.get("spans", [])
            ]
    return json.dumps(document).encode()


@given(st.lists(any_spans(), max_size=3))
def test_json_and_protobuf_say_the_same(spans: list[Any]) -> None:
    value = traces_data(resource_spans(spans, resource_schema_url="r", scope_schema_url="s"))
    assert decoded(to_protobuf(otlp_json(value))) == decoded(value)


def test_the_example_of_the_specification_is_read() -> None:
    span = {
        "traceId": TRACE_HEX.upper(),
        "spanId": "EEE19B7EC3C1B174",
        "parentSpanId": "eee19b7ec3c1b173",
        "name": "I'm a server span",
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": 1544712661000000000,
        "kind": 2,
        "status": {"code": 2},
        "attributes": [
            {"key": "n", "value": {"intValue": "-7"}},
            {"key": "b", "value": {"bytesValue": "AQI="}},
        ],
    }
    (got,) = spans_of(to_protobuf(as_json(span)))
    assert got == a_span(
        trace_id=bytes.fromhex(TRACE_HEX),
        span_id=bytes.fromhex("eee19b7ec3c1b174"),
        parent_span_id=bytes.fromhex("eee19b7ec3c1b173"),
        name="I'm a server span",
        start_ns=1544712660000000000,
        end_ns=1544712661000000000,
        status=2,
        attributes={"n": -7, "b": b"\x01\x02"},
    )


def test_unknown_fields_are_ignored_and_so_are_names_in_snake_case() -> None:
    span: dict[str, Any] = {
        "traceId": TRACE_HEX,
        "trace_id": "AAAA",
        "span_id": "AAAA",
        "name": "x",
        "status": {"code": 99, "newer": 1},
        "newer": {"deep": [[{}]]},
        "links": None,
        "[a.b]": 1,
        "@type": "x",
    }
    (got,) = spans_of(to_protobuf(as_json(span, newer=[1], resource_spans=[7])))
    assert (got.trace_id.hex(), got.span_id, got.name, got.status.code) == (TRACE_HEX, b"", "x", 99)


def nested(depth: int) -> bytes:
    opening, closing = '{"arrayValue":{"values":[', "]}}"
    value = opening * depth + '{"intValue":1}' + closing * depth
    return as_json({"attributes": [{"key": "a", "value": 0}]}).replace(b"0", value.encode())


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"{}{}",
        b'{"newer":NaN}',
        b'{"newer":-Infinity}',
        b"\xff",
        b'{"resourceSpans":1}',
        b'{"resourceSpans":[1]}',
        b'{"resourceSpans":{"a":1}}',
        b'{"resourceSpans":[null]}',
        b'{"resourceSpans":[{"scopeSpans":"x"}]}',
        b'{"resourceSpans":[{"schemaUrl":"\\ud800"}]}',
        "{}".encode("utf-16-le"),
        as_json(7),
        as_json({"traceId": "xyz"}),
        as_json({"traceId": "5b8"}),
        as_json({"traceId": "5b 8e"}),
        as_json({"traceId": "ü"}),
        as_json({"traceId": 5}),
        as_json({"spanId": ["00"]}),
        as_json({"links": [{"traceId": "x"}]}),
        as_json({"links": 3}),
        as_json({"links": [3]}),
        as_json({"startTimeUnixNano": "x"}),
        as_json({"startTimeUnixNano": -1}),
        as_json({"startTimeUnixNano": 2**64}),
        as_json({"startTimeUnixNano": True}),
        as_json({"name": 1}),
        as_json({"kind": {}}),
        as_json({"attributes": [{"key": "a", "value": {"doubleValue": float("nan")}}]}),
        as_json({"attributes": [{"key": "a", "value": {"bytesValue": "?"}}]}),
        as_json({"startTimeUnixNano": 1}).replace(b"1", b"1" * 5_000),
        nested(200),
        b'{"newer":' + b"[" * 1_000_000,
        b'{"newer":' * 1_000_000,
    ],
    ids=lambda value: value[:60].decode(errors="replace"),
)
def test_whatever_is_wrong_with_json_is_malformed(value: bytes) -> None:
    with pytest.raises(Malformed):
        to_protobuf(value)


def test_values_may_nest_as_deep_as_protobuf_has_it() -> None:
    assert len(spans_of(to_protobuf(nested(20)))) == 1


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "links",
                         "attributes", "key", "value", "intValue", "arrayValue", "values", "status",
                         "code", "resource", "scope", "kind", "[x]", "@type", "flags", "events"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON_VALUES | st.dictionaries(st.sampled_from(["name", *ID_KEYS, "status"]), JSON_VALUES))
def test_any_json_is_read_or_malformed(value: object) -> None:
    for document in (json.dumps({"resourceSpans": value}).encode(), as_json(value)):
        try:
            decoded(to_protobuf(document))
        except Malformed:
            assert scan(document, PLAN) == Scanned(
                [], [BadSpans(DeadLetterReason.MALFORMED, 1, document)]
            )


def test_a_json_record_is_scanned_as_protobuf() -> None:
    value = traces_data(a_trace(1, error=True))
    scanned = scan(otlp_json(value), PLAN)
    assert scanned == scan(value, PLAN)
    assert scanned.fragments[0].errors == 1


def test_a_json_record_of_several_traces_is_split() -> None:
    spans = [a_span(trace_id=trace_id_of(i), span_id=span_id_of(i)) for i in (2, 1)]
    bad = a_span(span_id=b"")
    scanned = scan(otlp_json(traces_data([*spans, bad])), PLAN)
    assert [each.body for each in scanned.fragments] == [traces_data(span) for span in spans]
    assert scanned.bad == [BadSpans(DeadLetterReason.INVALID_SPAN_ID, 1, traces_data(bad))]


@pytest.mark.parametrize("value", [b"{}", b"{ }", b"{\n}\n"])
def test_an_empty_object_is_an_empty_record(value: bytes) -> None:
    assert scan(value, PLAN) == Scanned([], [BadSpans(DeadLetterReason.EMPTY, 1, value)])


def test_json_without_spans_holds_nothing() -> None:
    for value in (b'{"resourceSpans":[]}', b'{"resourceSpans":null}', b'{"newer":1}'):
        assert scan(value, PLAN) == Scanned([], [])
