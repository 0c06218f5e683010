"""What a backend's answers mean."""

import asyncio

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from stream.export.answer import NO_ANSWER, UNTRUSTED, Answer, Meaning, read_answer, retry_after_s
from stream.export.backend import Backend, BackendSettings, shown, traces_url
from stream.export.backoff import Backoff, chance_of

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("statuses", "meaning"),
    [
        ((200, 202, 204), Meaning.ACCEPTED),
        ((429, 502, 503, 504, 408, NO_ANSWER), Meaning.TRY_AGAIN),
        ((400, 422, 431), Meaning.REFUSED),
        ((413,), Meaning.TOO_LARGE),
        ((500, 501, 505), Meaning.FAILED),
        ((401, 403, 404, 405, 407, 415, 301, 307, 101, UNTRUSTED), Meaning.NOT_FOR_US),
    ],
)
def test_every_status_has_its_meaning(statuses: tuple[int, ...], meaning: Meaning) -> None:
    assert {status: Answer(status).meaning for status in statuses} == dict.fromkeys(
        statuses, meaning
    )


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Tue, 14 Nov 2023 22:14:00 GMT", 40.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),  # passed already
        ("86400", 600.0),  # a day: no backend means that
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("²", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_nonsense_is_nothing(text: str, wait_s: float) -> None:
    assert retry_after_s(text, NOW_S) == wait_s


def test_a_partial_success_tells_how_many_spans_were_rejected_and_why() -> None:
    message = ExportTraceServiceResponse()
    message.partial_success.rejected_spans = 3
    message.partial_success.error_message = "too\nold"

    answer = read(200, message.SerializeToString(), "application/x-protobuf; charset=x")

    assert answer == Answer(200, "too old", 0.0, 3)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/x-protobuf"),
        (b"", ""),
        (b"<html>ok</html>", "text/html"),
        (b"\xff\xff", "application/x-protobuf"),
    ],
)
def test_a_2xx_is_a_yes_whatever_its_body(body: bytes, content_type: str) -> None:
    assert read(200, body, content_type) == Answer(200)


def test_the_reason_of_a_refusal_is_read_from_its_status_message_or_its_text() -> None:
    status = b"\x08\x03" + b"\x12\x09bad trace"  # google.rpc.Status: code 3, message
    assert str(read(400, status, "application/x-protobuf")) == "400: bad trace"
    assert str(read(400, b"bad\r\n trace\x00", "text/plain")) == "400: bad trace"
    assert str(read(400, b"\x12\xff", "application/x-protobuf")) == "400"
    assert len(read(400, b"x" * 10_000, "text/plain").reason) == 200


def test_waits_double_up_to_half_a_minute_and_chance_spreads_them_over_a_half() -> None:
    least, most = Backoff(lambda: 0.0), Backoff(lambda: 1.0)
    assert [least.next_s() for _ in range(8)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert [most.next_s() for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_wait_is_never_shorter_than_the_backend_asked_for() -> None:
    assert Backoff(lambda: 0.0).next_s(at_least_s=7.0) == 7.0
    assert Backoff(lambda: 1.0).next_s(at_least_s=7.0) == 7.25


def test_chance_differs_between_processes_and_moments_and_is_a_share() -> None:
    times = [1.0, 2.0, 3.0, 4.0] * 2
    rolls = [chance_of(name, iter(times).__next__) for name in ("worker-0", "worker-1")]
    seen = {roll() for roll in rolls for _ in range(4)}
    assert len(seen) == 8
    assert all(0 <= share < 1 for share in seen)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("https://host/", "https://host/v1/traces"),
        ("https://host/otlp/v1/traces", "https://host/otlp/v1/traces"),
        ("https://host?key=1", "https://host/v1/traces?key=1"),
    ],
)
def test_an_endpoint_without_a_path_means_the_standard_one(endpoint: str, url: str) -> None:
    assert traces_url(endpoint) == url


def test_the_query_of_a_url_is_not_shown() -> None:
    assert shown("https://host/v1/traces?key=s3cr3t") == "https://host/v1/traces?****"
    assert shown("https://host/v1/traces") == "https://host/v1/traces"


def test_a_host_that_no_name_server_can_be_asked_for_is_no_answer() -> None:
    async def posted() -> Answer:
        async with Backend(BackendSettings(url="http://xn--a/v1/traces")) as backend:
            return await backend.post(b"")

    assert asyncio.run(posted()).status == NO_ANSWER


def read(status: int, body: bytes, content_type: str) -> Answer:
    return read_answer(status, body, content_type=content_type, retry_after="", now_s=NOW_S)
