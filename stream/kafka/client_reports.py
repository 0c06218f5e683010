"""What a client says about its connections, in the log, without its repetitions."""

from typing import Any, Final

from stream import clock, logs

REPEATED_AFTER_S: Final = 10.0

log = logs.logger("tailstream")


class ClientReports:
    """Logs a client's errors, each kind at most once in 10 s: an outage gives many a second."""

    def __init__(self) -> None:
        self._said_s: dict[int, float] = {}

    def __call__(self, error: Any) -> None:
        """Take the client's `error_cb`."""
        now_s = clock.monotonic_s()
        said_s = self._said_s.get(error.code())
        if said_s is None or now_s - said_s >= REPEATED_AFTER_S:
            self._said_s[error.code()] = now_s
            log.warning("the Kafka client reports", error=error.str())
