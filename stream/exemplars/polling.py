"""Asks a source again and again: at its interval, and with back-off while it does not answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from stream import logs
from stream.exemplars.exemplar import Exemplar
from stream.exemplars.fetching import AnswerTooLargeError, PollFailedError
from stream.export.backoff import Backoff
from stream.metrics import Metrics

LIMIT: Final = "answer_bytes_max"

log = logs.logger("tailstream")


class Source(Protocol):
    """What has exemplars. `name` is its kind and `target` its address, as metrics tell them."""

    @property
    def name(self) -> str: ...  # noqa: D102 - told above

    @property
    def target(self) -> str: ...  # noqa: D102 - told above

    async def ask(self) -> tuple[list[Exemplar], bool]:
        """Return exemplars, and whether there are more to be asked for at once.

        Raises:
            PollFailedError: no answer.
        """


Give = Callable[[list[Exemplar], str], Awaitable[None]]
"""Takes exemplars of a source of this name; waits while there are too many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a source is asked. `sleep` waits so many seconds, `chance` is the back-off's."""

    interval_s: float
    sleep: Callable[[float], Awaitable[None]]
    chance: Callable[[], float]


class Polling:
    """Gives what a source answers to `give`."""

    def __init__(self, source: Source, pace: Pace, give: Give, metrics: Metrics) -> None:
        self._source = source
        self._pace = pace
        self._give = give
        self._limits = metrics["limit_reached"]
        self._polls = {
            outcome: metrics["exemplars_polls"].labels(source.name, source.target, outcome)
            for outcome in ("answered", "failed")
        }
        self._backoff: Backoff | None = None

    async def run(self) -> None:
        """Ask for ever; to be cancelled."""
        while True:
            wait_s = await self.turn()
            if wait_s:
                await self._pace.sleep(wait_s)

    async def turn(self) -> float:
        """Ask once; return how long to wait then, in seconds."""
        try:
            exemplars, more = await self._source.ask()
        except PollFailedError as problem:
            return self._failed(problem)
        self._polls["answered"].inc()
        if self._backoff is not None:
            self._backoff = None
            log.info("answers again", source=self._source.name, target=self._source.target)
        await self._give(exemplars, self._source.name)
        return 0.0 if more else self._pace.interval_s

    def _failed(self, problem: PollFailedError) -> float:
        self._polls["failed"].inc()
        if isinstance(problem, AnswerTooLargeError):
            self._limits.labels(LIMIT).inc()
        if self._backoff is None:
            self._backoff = Backoff(self._pace.chance)
            source, target = self._source.name, self._source.target
            # Once an outage: how long it lasts, the metrics tell.
            log.warning("no exemplars from here", source=source, target=target, why=str(problem))
        return self._backoff.next_s()
