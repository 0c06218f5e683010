"""Asks a broker what the client library cannot: one request on a connection of its own."""

import socket
from struct import pack, unpack_from

TIMEOUT_S = 10.0


def ask(bootstrap: str, request: bytes) -> bytes:
    """Send a request, its header in front; return the answer after its size."""
    host, _, port = bootstrap.partition(",")[0].rpartition(":")
    with (
        socket.create_connection((host, int(port)), TIMEOUT_S) as connection,
        connection.makefile("rb") as answer,
    ):
        connection.sendall(pack(">i", len(request)) + request)
        (size,) = unpack_from(">i", answer.read(4))
        return answer.read(size)
