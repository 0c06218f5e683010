"""The exemplars of OTLP metrics: those that the official classes see, whatever the record."""

import json
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from stream.exemplars.exemplar import NO_TRACE, Exemplar
from stream.exemplars.otlp_metrics import read_metrics
from stream.otlp.wire import Malformed, TooLarge
from tests.harness.otlp_metrics import ENCODINGS, KINDS, as_json, metrics_of, one_point

ONE, TWO = b"1" * 16, b"2" * 16

Points = list[tuple[str, list[tuple[bytes, int]]]]

some_points = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 2**44)), max_size=3),
    ),
    max_size=6,
)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_exemplars_are_found_in_every_kind_of_metric_and_both_encodings(
    kind: str, encoding: str
) -> None:
    message = metrics_of([(kind, [(ONE, 1_790_000_000_123), (TWO, 0)])])

    found = read_metrics(ENCODINGS[encoding](message))

    assert found.exemplars == [Exemplar(ONE, 1_790_000_000_123), Exemplar(TWO, None)]
    assert found.data_points == 1


@given(some_points, st.sampled_from(list(ENCODINGS)))
def test_what_is_found_is_what_the_official_classes_hold(points: Points, encoding: str) -> None:
    message = metrics_of(points)

    found = read_metrics(ENCODINGS[encoding](message))

    expected = [(trace_id, time_ms or None) for _, shown in points for trace_id, time_ms in shown]
    assert found.exemplars == expected
    assert found.data_points == len(points)


def test_a_request_and_several_messages_in_a_row_are_read_as_one() -> None:
    request = ExportMetricsServiceRequest.FromString(one_point(ONE))

    found = read_metrics(request.SerializeToString() + one_point(TWO, kind="sum"))

    assert [exemplar.trace_id for exemplar in found.exemplars] == [ONE, TWO]


def test_where_a_metric_has_two_kinds_the_last_one_counts_as_in_protobuf() -> None:
    message = metrics_of([("gauge", [(ONE, 0)])])
    other = metrics_of([("histogram", [(TWO, 0)])])
    metric = message.resource_metrics[0].scope_metrics[0].metrics[0].SerializeToString()
    metric += other.resource_metrics[0].scope_metrics[0].metrics[0].SerializeToString()
    value = framed(framed(framed(metric, 2), 2), 1)

    assert (
        MetricsData.FromString(value)
        .resource_metrics[0]
        .scope_metrics[0]
        .metrics[0]
        .HasField("histogram")
    )
    assert [exemplar.trace_id for exemplar in read_metrics(value).exemplars] == [TWO]


def test_a_summary_has_none_and_an_empty_record_neither() -> None:
    message = metrics_of([])
    message.resource_metrics[0].scope_metrics[0].metrics.add().summary.data_points.add(count=3)

    for value in (message.SerializeToString(), as_json(message), b"", b"{}"):
        assert read_metrics(value) == (0, [])


def test_text_that_is_not_utf8_hides_no_exemplar() -> None:
    value = one_point(ONE).replace(b"/orders/{id}", b"/orders/\xff\xfe\xff\xfe")

    assert [exemplar.trace_id for exemplar in read_metrics(value).exemplars] == [ONE]


@given(st.binary(max_size=200).filter(lambda value: value[:1] != b"{"))
@example(b"\x0a\xff\xff\xff\xff\x0f")
def test_what_the_official_classes_take_is_taken_and_the_rest_taken_or_malformed(
    value: bytes,
) -> None:
    assert_as_official(value)


@given(st.integers(0, 150), st.integers(0, 255), st.integers(0, 150))
def test_a_flipped_byte_and_a_cut_end_change_what_is_found_as_they_do_for_the_official_classes(
    place: int, byte: int, end: int
) -> None:
    value = bytearray(one_point(ONE, TWO))
    value[place % len(value)] = byte
    if value[:1] != b"{":
        assert_as_official(bytes(value))
        assert_as_official(bytes(value[:end]) if value[:end] else b"")


@given(st.text(max_size=50).map(lambda text: b"{" + text.encode()))
def test_what_begins_with_a_brace_is_json_or_malformed(value: bytes) -> None:
    try:
        document = json.loads(value)
    except ValueError:
        with pytest.raises(Malformed):
            read_metrics(value)
    else:
        assert "resourceMetrics" in document or read_metrics(value) == (0, [])


def assert_as_official(value: bytes) -> None:
    try:
        official = MetricsData.FromString(value)
    except DecodeError:
        # Ours reads less: what is not UTF-8 in an attribute is none of its business.
        with suppress(Malformed):
            read_metrics(value)
        return
    expected = [
        exemplar.trace_id
        for resource in official.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.WhichOneof("data") not in (None, "summary")
        for point in getattr(metric, metric.WhichOneof("data") or "").data_points
        for exemplar in point.exemplars
    ]
    assert [exemplar.trace_id for exemplar in read_metrics(value).exemplars] == expected


def wrapped(exemplar: Any) -> bytes:
    """Return OTLP/JSON with this in the place of an exemplar."""
    point = {"exemplars": [exemplar]}
    metric = {"name": "m", "sum": {"dataPoints": [point]}}
    return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode()


@pytest.mark.parametrize(
    "value",
    [
        b'{"resourceMetrics": 1}',
        b'{"resourceMetrics": [1]}',
        b'{"resourceMetrics": {"scopeMetrics": []}}',
        b'{"resourceMetrics": [{"scopeMetrics": "x"}]}',
        b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"sum": 1}]}]}]}',
        b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"sum": []}]}]}]}',
        b'{"resourceMetrics": [\xff]}',
        b'{"a": ' + b"[" * 100_000,
        b'{"resourceMetrics": []} trailing',
        wrapped(7),
        wrapped({"traceId": 7}),
        wrapped({"traceId": "ab", "timeUnixNano": {}}),
        wrapped({"traceId": "ab", "timeUnixNano": "soon"}),
        wrapped({"traceId": "ab", "timeUnixNano": "9" * 5_000}),
    ],
)
def test_json_of_another_shape_is_malformed(value: bytes) -> None:
    with pytest.raises(Malformed):
        read_metrics(value)


def test_json_with_more_objects_than_the_memory_is_meant_for_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        read_metrics(b'{"resourceMetrics": [' + b"{}," * 1_000_001 + b"{}]}")


@pytest.mark.parametrize(
    ("exemplar", "expected"),
    [
        ({"traceId": ONE.hex().upper(), "timeUnixNano": 7_000_000}, Exemplar(ONE, 7)),
        ({"traceId": ONE.hex(), "timeUnixNano": "7000000"}, Exemplar(ONE, 7)),
        ({"traceId": ONE.hex(), "timeUnixNano": -5}, Exemplar(ONE, None)),
        ({"traceId": ONE.hex(), "timeUnixNano": 10**400}, Exemplar(ONE, None)),
        ({"traceId": None}, Exemplar(b"", None)),
        ({}, Exemplar(b"", None)),
        ({"traceId": "not hexadecimal"}, Exemplar(NO_TRACE, None)),
        ({"traceId": "abc"}, Exemplar(NO_TRACE, None)),
        ({"traceId": "0123456789abcdef"}, Exemplar(bytes.fromhex("0123456789abcdef"), None)),
    ],
)
def test_json_tells_ids_and_times_as_otlp_writes_them(
    exemplar: dict[str, object], expected: Exemplar
) -> None:
    assert read_metrics(wrapped(exemplar)).exemplars == [expected]


def framed(content: bytes, field: int) -> bytes:
    assert len(content) < 16_384
    return bytes((field << 3 | 2, len(content) & 0x7F | 0x80, len(content) >> 7)) + content
