"""The pages of commands without Faust, and what whoever asks them can do to the command."""

import http.client
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from stream.metrics import Metrics
from stream.web import served_pages

AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: a close is a reset, as from a probe that has lost its patience."""


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    pages = served_pages(
        "127.0.0.1", number, Metrics(), silent_s=lambda: 0.0, not_ready=lambda: "not yet"
    )
    with pages:
        yield number


def asked(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_there_are_three_pages_and_no_other(port: int) -> None:
    assert asked(port, "/livez") == (200, b"ok\n")
    assert asked(port, "/readyz?verbose=1") == (503, b"not yet\n")
    assert asked(port, "/metrics")[0] == 200
    assert asked(port, "/../../etc/passwd") == (404, b"not found\n")


def test_who_hangs_up_costs_no_line_in_the_log_and_the_next_is_answered(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    before = threading.active_count()
    for _ in range(20):
        hangs_up = socket.create_connection(("127.0.0.1", port))
        hangs_up.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        hangs_up.sendall(b"GET /metrics HTTP/1.1\r\nHost: x")
        hangs_up.close()

    assert asked(port, "/livez") == (200, b"ok\n")
    while threading.active_count() > before:
        threading.Event().wait(0.01)
    assert capfd.readouterr().err == ""


def test_who_sends_nothing_keeps_nobody_else_waiting(port: int) -> None:
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    try:
        assert asked(port, "/livez") == (200, b"ok\n")
    finally:
        for connection in silent:
            connection.close()
