"""The only module that reads the time. Everything else is told."""

import time


def now_ms() -> int:
    """Return the wall clock in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def now_s() -> float:
    """Return the wall clock in Unix seconds."""
    return time.time()


def monotonic_s() -> float:
    """Return a clock that never goes back, in seconds."""
    return time.monotonic()
