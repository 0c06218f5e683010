"""librdkafka's own log lines: in our log, without its repetitions.

A broker that is away gives a line for each attempt of each client: dozens a second, for hours.
"""

import logging
import re
from collections.abc import Callable
from typing import Final

from stream import clock

REPEATED_AFTER_S: Final = 30.0
KINDS_MAX: Final = 1_000

# `FAIL [rdkafka#consumer-48] [thrd:...]: ...: Connection refused (after 12ms in state CONNECT)`:
# neither the client nor how long it took makes it another line.
_PASSING: Final = re.compile(r"\[\S+#(consumer|producer)-\d+\]|\(after [^)]*\)")


class Unrepeated(logging.Filter):
    """Lets a line through once in 30 s, with how many alike were left out since the last one.

    Only those that warn: what somebody asked for by `kafka.debug` comes whole.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether it is said, and add what was not."""
        if record.levelno < logging.WARNING:
            return True
        kind = _PASSING.sub("", record.getMessage())
        now_s = clock.monotonic_s()
        said_s, left_out = self._said.get(kind, (-REPEATED_AFTER_S, 0))
        if now_s - said_s < REPEATED_AFTER_S:
            self._said[kind] = said_s, left_out + 1
            return False
        if len(self._said) >= KINDS_MAX:
            self._said.clear()
        self._said[kind] = now_s, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} alike before)", ()
        return True


LOGGER: Final = logging.getLogger("tailstream.librdkafka")
"""Where every client's own log lines go: they would come out raw on stderr otherwise."""

LOGGER.addFilter(Unrepeated())


class FatalLines:
    """A client's logger that hears what is fatal: librdkafka does not always report it, too."""

    def __init__(self, fatal: Callable[[str], None]) -> None:
        self._fatal = fatal

    def log(self, level: int, message: str, *words: object) -> None:
        """Pass a line on; what the client cannot go on after is told."""
        LOGGER.log(level, message, *words)
        if level >= logging.CRITICAL:
            self._fatal(message % words)
