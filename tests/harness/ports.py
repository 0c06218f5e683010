"""Ports for what the tests start, each for one process of tests until that process ends."""

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from random import SystemRandom
from typing import Final

CLAIMS: Final = Path(tempfile.gettempdir()) / f"tailstream-ports-{os.getuid()}"
"""A locked file a port: what is started there listens a second later, and others look meanwhile."""
FIRST, LAST = 20_000, 32_000

_claimed: Final[list[int]] = []


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, below the range of outgoing connections.

    So a stopped broker finds its port free when it comes back. Not `random`: seeded alike in every
    process of a test run, it would give all of them the same ports.
    """
    CLAIMS.mkdir(exist_ok=True)
    found: list[int] = []
    for port in SystemRandom().sample(range(FIRST, LAST), 200):
        if _is_free(port) and _claim(port):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"no free port between {FIRST} and {LAST}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _claim(port: int) -> bool:
    """Lock the port's file for as long as this process lives."""
    claim = os.open(CLAIMS / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        return False
    _claimed.append(claim)
    return True
