"""From metrics to pins: the Kafka side on its thread, Prometheus and endpoints asked beside it.

What these answer is handed to that thread, the only user of the Kafka clients.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import aiohttp

from stream import clock
from stream.exemplars.exemplar import Exemplar
from stream.exemplars.fetching import Fetcher
from stream.exemplars.openmetrics import Endpoint, OpenMetricsSource
from stream.exemplars.pinning import Pinning
from stream.exemplars.polling import Pace, Polling, Source
from stream.exemplars.prometheus import PrometheusSource, Question
from stream.export.backoff import chance_of
from stream.metrics import Metrics

FULL_WAIT_S: Final = 0.1
GIVEN_MAX: Final = 1_000
"""Exemplars that are handed over at once: the group is served in between."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPlan:
    """Whom to ask, each how often. `name` keeps processes from asking in step."""

    questions: Sequence[Question]
    question_interval_s: float
    endpoints: Sequence[Endpoint]
    endpoint_interval_s: float
    timeout_s: float
    answer_bytes_max: int
    user_agent: str
    name: str


class Pinner:
    """Pins until it is told to stop. `run` it once."""

    def __init__(self, pinning: Pinning, plan: PollPlan, metrics: Metrics) -> None:
        self._pinning = pinning
        self._plan = plan
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, "tailstream-exemplars")

    async def run(self, stopping: Callable[[], bool], tell: Callable[[], None]) -> None:
        """Work until told to stop; then commit what is safe, and leave the group.

        Raises:
            ClusterError: somebody has to grant or mend something first.
            KafkaException: a client cannot go on. What is not committed will be read again.
        """
        await self._in_thread(self._pinning.join)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            session = await stack.enter_async_context(self._session())
            polls = [asyncio.create_task(polling.run()) for polling in self._pollings(session)]
            try:
                while not stopping():
                    await self._in_thread(self._pinning.turn)
                    tell()
                    _raise_ended(polls)
            finally:
                for poll in polls:
                    poll.cancel()
                await asyncio.gather(*polls, return_exceptions=True)

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            headers={"User-Agent": self._plan.user_agent},
            timeout=aiohttp.ClientTimeout(total=self._plan.timeout_s),
            # No cookies from anybody, proxies as the environment names them.
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        )

    def _pollings(self, session: aiohttp.ClientSession) -> list[Polling]:
        plan = self._plan
        fetcher = Fetcher(session, plan.answer_bytes_max)
        paced: list[tuple[Source, float]] = [
            (PrometheusSource(question, fetcher, clock.now_s), plan.question_interval_s)
            for question in plan.questions
        ]
        paced += [
            (OpenMetricsSource(endpoint, fetcher), plan.endpoint_interval_s)
            for endpoint in plan.endpoints
        ]
        return [self._polling(source, interval_s) for source, interval_s in paced]

    def _polling(self, source: Source, interval_s: float) -> Polling:
        chance = chance_of(f"{self._plan.name} {source.target}", clock.now_s)
        pace = Pace(interval_s=interval_s, sleep=asyncio.sleep, chance=chance)
        return Polling(source, pace, self._give, self._metrics)

    async def _give(self, exemplars: list[Exemplar], source: str) -> None:
        for start in range(0, len(exemplars), GIVEN_MAX):
            while self._pinning.is_full:  # noqa: ASYNC110 - the thread that mends it tells nobody
                await asyncio.sleep(FULL_WAIT_S)
            some = exemplars[start : start + GIVEN_MAX]
            await self._in_thread(partial(self._pinning.take, some, source))

    async def _close(self) -> None:
        await self._in_thread(self._pinning.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _raise_ended(polls: Sequence[asyncio.Task[None]]) -> None:
    """A poll ends by what went wrong, only."""
    for poll in polls:
        if poll.done():
            poll.result()
