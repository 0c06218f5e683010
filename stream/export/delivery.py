"""A batch of records to the backend, until each of them is accepted or buried."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from stream import clock, logs
from stream.export.answer import NO_ANSWER, Answer, Meaning
from stream.export.backoff import Backoff
from stream.export.telling import Telling
from stream.export.waiting import Held

REFUSED_BY_BACKEND: Final = "refused_by_backend"
MALFORMED: Final = "malformed"

FAILED_TRIES_MAX: Final = 5
"""So often a server may fail (500) before what was sent is taken for the cause."""

UNANSWERED_TRIES_MAX: Final = 5
"""After so many tries without an answer a request is halved: it may be too large, or take long."""

REFUSED_AT_FIRST_MAX: Final = 10
"""So many refusals before anything was accepted speak of the endpoint, not of the records."""

log = logs.logger("tailstream")


class NotForUsError(Exception):
    """The backend does not take anything from us. The text names setting, value and remedy."""


class GaveUpError(Exception):
    """The backend did not come back within `export.retry_for`."""


@dataclass(slots=True)
class ExportCounts:
    """What became of the records that were read.

    `records` and `spans` were accepted, `rejected_spans` of them were not (the backend said so of a
    request that it accepted as a whole). `empty` records hold no span. `requests` counts every try,
    `answers` those that were answered, and how.
    """

    records: int = 0
    spans: int = 0
    rejected_spans: int = 0
    empty: int = 0
    requests: int = 0
    retries: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    lost_to_retention: int = 0
    answers: Counter[Meaning] = field(default_factory=Counter)


@dataclass(slots=True, kw_only=True)
class Limits:
    """`retry_for_s` 0: for ever. `request_bytes_max` falls where the backend takes less."""

    request_bytes_max: int
    retry_for_s: float = 0.0


class Posting(Protocol):
    """What a delivery needs of a backend."""

    async def packed(self, body: bytes) -> bytes:
        """Return the body as it is posted."""

    async def post(self, packed: bytes) -> Answer:
        """Post it."""


class Delivery:
    """Delivers batches, several at a time.

    `bury(held, reason, why)` returns when the record is safe among the dead letters. `url` is what
    errors name; `sleep` and `chance` make the waits.
    """

    def __init__(
        self,
        backend: Posting,
        *,
        url: str,
        limits: Limits,
        bury: Callable[[Held, str, str], Awaitable[None]],
        sleep: Callable[[float], Awaitable[None]],
        chance: Callable[[], float],
    ) -> None:
        self.counts = ExportCounts()
        self.limits = limits
        self._backend = backend
        self._url = url
        self._bury = bury
        self._sleep = sleep
        self._chance = chance
        self._welcome = False
        self._refused_at_first = 0
        self._telling = Telling()
        self._away = False

    async def greet(self) -> None:
        """Post an empty message: a wrong endpoint shows before the first trace has to wait.

        Raises:
            NotForUsError: it is wrong.
        """
        answer = await self._post(await self._backend.packed(b""))
        if answer.meaning is Meaning.ACCEPTED:
            log.info("the backend answers", url=self._url)
        else:
            log.warning("the backend does not accept yet", url=self._url, answer=str(answer))

    async def deliver(self, batch: Sequence[Held]) -> None:
        """Return when every record of the batch is acknowledged, or no longer ours.

        Raises:
            NotForUsError: the backend has never accepted anything, and its answer is about us.
            GaveUpError: it took longer than `retry_for_s`.
        """
        for held in batch:
            if held.spans is None:
                await self._bury(held, MALFORMED, "")
                self.counts.dead_letters[MALFORMED] += 1
        await self._send(batch)

    async def _send(self, batch: Sequence[Held]) -> None:
        answer = None
        while answer is None:
            batch = [held for held in batch if held.lane.ours]
            sendable = [held for held in batch if held.spans]
            if not sendable:
                self._acknowledge(batch)
                return
            answer = await self._answer(sendable)
        if answer.meaning is Meaning.ACCEPTED:
            self._accepted(sendable, answer)
        elif len(sendable) > 1:
            await self._halve(batch, answer)
            return
        else:
            await self._refused(sendable[0], answer)
        self._acknowledge(batch)

    async def _answer(self, batch: Sequence[Held]) -> Answer | None:
        """Post until the answer is final; None if the group took some of the batch away."""
        packed = await self._backend.packed(b"".join([held.body for held in batch]))
        backoff = Backoff(self._chance)
        started_s = clock.monotonic_s()
        tries: Counter[Meaning] = Counter()
        while True:
            answer = await self._post(packed)
            meaning = answer.meaning
            tries[meaning] += answer.status == NO_ANSWER or meaning is Meaning.FAILED
            if (
                meaning in (Meaning.ACCEPTED, Meaning.REFUSED, Meaning.TOO_LARGE)
                or tries[Meaning.FAILED] >= FAILED_TRIES_MAX
                or (tries[Meaning.TRY_AGAIN] >= UNANSWERED_TRIES_MAX and len(batch) > 1)
            ):
                return answer
            await self._wait(backoff, answer, started_s)
            if not all(held.lane.ours for held in batch):
                return None

    async def _post(self, packed: bytes) -> Answer:
        self.counts.requests += 1
        answer = await self._backend.post(packed)
        self.counts.answers[answer.meaning] += 1
        if answer.meaning is Meaning.ACCEPTED:
            self._welcome = True
            if self._away:
                self._away = False
                log.info("the backend accepts again", url=self._url, retries=self.counts.retries)
        elif answer.meaning is Meaning.NOT_FOR_US and not self._welcome:
            raise NotForUsError(_not_for_us(self._url, answer))
        return answer

    async def _wait(self, backoff: Backoff, answer: Answer, started_s: float) -> None:
        wait_s = backoff.next_s(answer.retry_after_s)
        limit_s = self.limits.retry_for_s
        if limit_s and clock.monotonic_s() + wait_s - started_s > limit_s:
            raise GaveUpError(
                f"export.endpoint: {self._url}: {answer}: gave up after {limit_s:g} s"
            )
        self.counts.retries += 1
        retries = self._telling.due(answer.meaning, clock.monotonic_s())
        if retries:
            self._away = True
            say = log.error if answer.meaning is Meaning.NOT_FOR_US else log.warning
            say(
                "will be sent again",
                answer=str(answer),
                tries=backoff.tries,
                wait_s=round(wait_s, 1),
                retries_since=retries,
            )
        await self._sleep(wait_s)

    async def _halve(self, batch: Sequence[Held], answer: Answer) -> None:
        """Find out which record is at fault, or send less at once."""
        size = sum(len(held.body) for held in batch)
        if answer.meaning is Meaning.TOO_LARGE and size // 2 < self.limits.request_bytes_max:
            self.limits.request_bytes_max = size // 2
            log.warning(
                "export.request_bytes_max is more than the backend takes: lower it",
                refused_bytes=size,
                now=size // 2,
            )
        middle = len(batch) // 2
        await self._send(batch[:middle])
        await self._send(batch[middle:])

    def _accepted(self, batch: Sequence[Held], answer: Answer) -> None:
        self.counts.records += len(batch)
        self.counts.spans += sum(held.spans or 0 for held in batch)
        self.counts.rejected_spans += answer.rejected_spans
        if answer.rejected_spans:
            self._rejected(answer)

    def _rejected(self, answer: Answer) -> None:
        requests = self._telling.due("rejected", clock.monotonic_s())
        if requests:
            log.warning(
                "the backend rejected spans",
                spans=answer.rejected_spans,
                reason=answer.reason,
                requests_since=requests,
            )

    async def _refused(self, held: Held, answer: Answer) -> None:
        if not self._welcome:
            self._refused_at_first += 1
            if self._refused_at_first > REFUSED_AT_FIRST_MAX:
                raise NotForUsError(_not_for_us(self._url, answer))
        await self._bury(held, REFUSED_BY_BACKEND, str(answer))
        self.counts.dead_letters[REFUSED_BY_BACKEND] += 1
        log.warning(
            "the backend refuses a record for good: now a dead letter",
            answer=str(answer),
            partition=held.record.partition,
            offset=held.record.offset,
        )

    def _acknowledge(self, batch: Sequence[Held]) -> None:
        for held in batch:
            held.acknowledge()
            self.counts.empty += held.spans == 0


def _not_for_us(url: str, answer: Answer) -> str:
    remedies = {
        401: "set the credentials that it wants in export.headers",
        403: "set credentials that may write traces in export.headers",
        407: "give the proxy's credentials in HTTPS_PROXY",
    }
    remedy = remedies.get(
        answer.status,
        "set export.endpoint to where the backend takes OTLP over HTTP (usually port 4318, path "
        "/v1/traces; https where it wants TLS)",
    )
    return f"export.endpoint: {url}: the backend has accepted nothing yet: {answer}: {remedy}"
