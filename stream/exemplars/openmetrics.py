"""Exemplars from OpenMetrics endpoints: each scrape shows the last one of a bucket or a counter.

https://prometheus.io/docs/specs/om/open_metrics_spec/#exemplars
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import Metric
from prometheus_client.openmetrics import parser

from stream.exemplars.exemplar import Exemplar, time_ms_of, trace_id_of
from stream.exemplars.fetching import Fetcher, PollFailedError, Request, target_of

CONTENT_TYPE: Final = "application/openmetrics-text"
ACCEPT: Final = f"{CONTENT_TYPE};version=1.0.0;q=1,text/plain;version=0.0.4;q=0.5"
_parsed: Callable[[str], Iterable[Metric]] = parser.text_string_to_metric_families
_QUOTE: Final = b'\\"'
_ESCAPED: Final = re.compile(rb"\\.")
_EXEMPLAR: Final = b" # {"
"""What every sample with an exemplar has in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint to scrape."""

    url: str
    trace_id_labels: Sequence[str]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class OpenMetricsSource:
    """Scrapes one endpoint. An exemplar that still stands there from the last scrape is not new."""

    name = "scrape"

    def __init__(self, endpoint: Endpoint, fetcher: Fetcher) -> None:
        self.target = target_of(endpoint.url)
        self._endpoint = endpoint
        self._fetcher = fetcher
        self._seen: frozenset[Exemplar] = frozenset()

    async def ask(self) -> tuple[list[Exemplar], bool]:
        """Return the new exemplars, and False: a scrape is whole.

        Raises:
            PollFailedError: no answer, or not in OpenMetrics.
        """
        headers = {"Accept": ACCEPT, **self._endpoint.headers}
        answer = await self._fetcher.fetch(Request(self._endpoint.url, headers))
        if not answer.content_type.startswith(CONTENT_TYPE):
            raise PollFailedError(
                f"answers {answer.content_type!r}, which has no exemplars: let it speak OpenMetrics"
            )
        # Off the loop: the parser takes some 10 us a line.
        found = await asyncio.to_thread(self._exemplars, answer.body)
        new = [exemplar for exemplar in found if exemplar not in self._seen]
        self._seen = frozenset(found)
        return new, False

    def _exemplars(self, body: bytes) -> list[Exemplar]:
        if _EXEMPLAR not in body:
            return []
        try:
            families = list(_parsed(_without_quotes(body).decode()))
        # The parser meets what is broken with ValueError, TypeError, IndexError, KeyError ...
        except Exception as problem:  # noqa: BLE001 - see above
            raise PollFailedError(f"not OpenMetrics: {problem!r}") from None
        return [
            Exemplar(
                trace_id_of(sample.exemplar.labels, self._endpoint.trace_id_labels),
                time_ms_of(_seconds(sample.exemplar.timestamp)),
            )
            for family in families
            for sample in family.samples
            if sample.exemplar is not None
        ]


def _without_quotes(body: bytes) -> bytes:
    """Return the text with an apostrophe for each escaped quote.

    At one of those in an exemplar the parser (prometheus-client 0.26) refuses the whole page. Pairs
    are taken from the left, so that an escaped backslash before a closing quote is none.
    """
    if _QUOTE not in body:
        return body
    return _ESCAPED.sub(lambda pair: b"'" if pair[0] == _QUOTE else pair[0], body)


def _seconds(timestamp: object) -> float | None:
    """Return the parser's timestamp, a float or its Timestamp, as a number."""
    return None if timestamp is None else float(timestamp)  # type: ignore[arg-type]  # both have __float__
