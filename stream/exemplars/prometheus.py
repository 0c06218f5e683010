"""Exemplars from Prometheus, by its API, over windows that overlap.

`GET /api/v1/query_exemplars?query=&start=&end=`:
https://prometheus.io/docs/prometheus/latest/querying/api/#querying-exemplars
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from stream.exemplars.exemplar import Exemplar, time_ms_of, trace_id_of
from stream.exemplars.fetching import (
    AnswerTooLargeError,
    Fetcher,
    PollFailedError,
    Request,
    target_of,
)

PATH: Final = "/api/v1/query_exemplars"
WINDOW_MAX_S: Final = 300.0
WINDOW_MIN_S: Final = 1.0
"""Where even this long a window is too large an answer, it is left out."""

TOLD_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask whom. `url` is Prometheus's own; `overlap_s` is told in its settings."""

    url: str
    query: str
    overlap_s: float
    trace_id_labels: Sequence[str]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class PrometheusSource:
    """Asks one question again and again, each round from where the last one ended, and before.

    After an outage the gap is made up in windows of at most `WINDOW_MAX_S`. An answer that is too
    large is asked for again by half the window. `now_s` is the wall clock in Unix seconds.
    """

    name = "prometheus"

    def __init__(self, question: Question, fetcher: Fetcher, now_s: Callable[[], float]) -> None:
        self.target = target_of(question.url)
        self._question = question
        self._fetcher = fetcher
        self._now_s = now_s
        self._window_s = WINDOW_MAX_S
        self._start_s = self._end_s = now_s()

    async def ask(self) -> tuple[list[Exemplar], bool]:
        """Return the exemplars of the next window, and whether the round goes on.

        Raises:
            PollFailedError: no answer; the same window is asked for next time.
        """
        if self._start_s >= self._end_s:
            self._start_s = self._end_s - self._question.overlap_s
            # Never back: a clock that was set back waits until it is there again.
            self._end_s = max(self._end_s, self._now_s())
        until_s = min(self._start_s + self._window_s, self._end_s)
        try:
            answer = await self._fetcher.fetch(self._request(until_s))
        except AnswerTooLargeError:
            self._halve(until_s)
            raise
        found = list(self._exemplars(answer.body))
        self._start_s = until_s
        self._window_s = min(2 * self._window_s, WINDOW_MAX_S)
        return found, self._start_s < self._end_s

    def _halve(self, until_s: float) -> None:
        window_s = until_s - self._start_s
        if window_s > WINDOW_MIN_S:
            self._window_s = max(WINDOW_MIN_S, window_s / 2)
        else:
            self._start_s = until_s

    def _request(self, until_s: float) -> Request:
        parameters = {
            "query": self._question.query,
            "start": f"{self._start_s:.3f}",
            "end": f"{until_s:.3f}",
        }
        return Request(self._url(), self._question.headers, parameters)

    def _url(self) -> str:
        base, mark, query = self._question.url.partition("?")
        return f"{base.rstrip('/')}{PATH}{mark}{query}"

    def _exemplars(self, body: bytes) -> Iterator[Exemplar]:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as problem:
            raise PollFailedError(f"not JSON: {problem}") from None
        if not isinstance(document, dict) or document.get("status") != "success":
            _refuse(document)
        for series in _objects(document.get("data")):
            for one in _objects(series.get("exemplars")):
                labels = one.get("labels")
                if not isinstance(labels, dict) or not all(map(_is_text, labels.values())):
                    _refuse(one)
                trace_id = trace_id_of(labels, self._question.trace_id_labels)
                yield Exemplar(trace_id, time_ms_of(one.get("timestamp")))


def _objects(found: Any) -> list[dict[str, Any]]:
    """Return a list of objects; null is an absent one."""
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        _refuse(found)
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _refuse(found: object) -> NoReturn:
    raise PollFailedError(f"not what query_exemplars answers: {json.dumps(found)[:TOLD_CHARS_MAX]}")
