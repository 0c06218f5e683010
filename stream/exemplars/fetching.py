"""One HTTP request, bounded in time and size."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import aiohttp

OK: Final = 200
TOLD_CHARS_MAX: Final = 200


class PollFailedError(Exception):
    """There was no answer, or not the one that was asked for; the text says which."""


class AnswerTooLargeError(PollFailedError):
    """The answer is larger than `exemplars.answer_bytes_max`."""


@dataclass(frozen=True, slots=True)
class Request:
    """A GET: where, with which parameters and headers. Headers can hold secrets."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with status 200."""

    content_type: str
    body: bytes


class Fetcher:
    """Fetches with a session of the loop that it is used on."""

    def __init__(self, session: aiohttp.ClientSession, bytes_max: int) -> None:
        self._session = session
        self._bytes_max = bytes_max

    async def fetch(self, request: Request) -> Answer:
        """Return the answer.

        Raises:
            PollFailedError: no answer in time, another status than 200, or too large.
        """
        try:
            async with self._session.get(
                request.url,
                params=dict(request.parameters),
                headers=dict(request.headers),
                # Headers may be credentials: they go where the operator sent them only.
                allow_redirects=False,
            ) as response:
                body = await self._read(response)
        except TimeoutError:
            raise PollFailedError("no answer within exemplars.timeout") from None
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            raise PollFailedError(str(problem) or type(problem).__name__) from None
        if response.status != OK:
            said = body[:TOLD_CHARS_MAX].decode(errors="replace").strip()
            raise PollFailedError(f"status {response.status}: {said}")
        return Answer(response.headers.get("Content-Type", ""), body)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._bytes_max:
                raise AnswerTooLargeError(
                    f"an answer of more than {self._bytes_max:,} bytes (exemplars.answer_bytes_max)"
                )
        return bytes(body)


def target_of(url: str) -> str:
    """Return a URL as labels and logs may have it: without its query, which can hold a token."""
    return urlsplit(url)._replace(query="", fragment="").geturl()
