"""What the commands that run until they are told to stop have in common: the end, the progress."""

import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.status import Status

from stream import logs
from stream.clock import monotonic_s
from stream.exits import Exit, end_process

END_S = 10.0
SHOWN_EVERY_S = 0.5
LOGGED_EVERY_S = 10.0

log = logs.logger("tailstream")


@contextmanager
def until_told_to_stop() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether SIGTERM or SIGINT came.

    Whoever still hangs in a client `END_S` after that is ended: what is not committed comes again.
    """
    told = threading.Event()
    hung = threading.Timer(
        END_S, lambda: end_process(Exit.WATCHDOG, "the end took too long: a client hangs")
    )
    hung.daemon = True

    def stop(_signal: int, _frame: object) -> None:
        if not told.is_set():
            told.set()
            hung.start()

    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told.is_set
    finally:
        hung.cancel()
        for each, handler in before.items():
            signal.signal(each, handler)


class Progress:
    """Tells how far a command is: one living line on a terminal, else a log line every 10 s."""

    def __init__(self, command: str, console: Console | None = None) -> None:
        self._command = command
        self._console = console or Console(stderr=True)
        self._status = Status(f"{command}: starting", console=self._console)
        self._told_s = monotonic_s()

    def tell(self, counts: Callable[[], dict[str, int]]) -> None:
        """Show the counts if it is time to; `counts` is called only then."""
        every_s = SHOWN_EVERY_S if self._console.is_terminal else LOGGED_EVERY_S
        if monotonic_s() - self._told_s < every_s:
            return
        self._told_s = monotonic_s()
        if self._console.is_terminal:
            self._status.update(f"{self._command}: {listed(counts())}")
        else:
            log.info(self._command, **counts())

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()


def listed(counts: dict[str, int]) -> str:
    """Return the counts in words: `12 records, 40 spans`."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())


def flat(counts: Any) -> dict[str, int]:
    """Return the numbers of a dataclass, the dead letters of each reason by a name of their own."""
    named = {each.name: getattr(counts, each.name) for each in dataclasses.fields(counts)}
    letters = {f"dead_letters_{reason}": n for reason, n in named["dead_letters"].items()}
    return {name: value for name, value in named.items() if isinstance(value, int)} | letters
