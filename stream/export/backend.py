"""Requests to an OTLP/HTTP backend.

HTTP by aiohttp, which Faust brings along and keeps well: unlike the standard library's client it
bounds a whole request in time, ends one that is under way, and keeps connections alive, proxies and
TLS included.
"""

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp

from stream import clock
from stream.export.answer import NO_ANSWER, UNTRUSTED, Answer, read_answer

PATH: Final = "/v1/traces"
ANSWER_BYTES_MAX: Final = 64 * 1024
_GZIP: Final = 31  # zlib's window bits for a gzip header
_GZIP_LEVEL: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSettings:
    """`url` is where traces are posted, `user_agent` says who posts. Headers can hold secrets."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    gzip: bool = True
    timeout_s: float = 10.0
    user_agent: str = "tailstream"


def traces_url(endpoint: str) -> str:
    """Return where to post: an endpoint without a path means the standard one."""
    parts = urlsplit(endpoint)
    return parts._replace(path=PATH).geturl() if parts.path in ("", "/") else endpoint


def shown(url: str) -> str:
    """Return the URL as logs may have it: a query can hold a token."""
    parts = urlsplit(url)
    return parts._replace(query="****").geturl() if parts.query else url


class Backend:
    """Posts `TracesData` messages. To be entered inside the loop that uses it."""

    def __init__(self, settings: BackendSettings) -> None:
        self._settings = settings
        self._headers = {
            "User-Agent": settings.user_agent,
            "Content-Type": "application/x-protobuf",
            **({"Content-Encoding": "gzip"} if settings.gzip else {}),
            **settings.headers,
        }
        self._session: aiohttp.ClientSession | None = None

    async def packed(self, body: bytes) -> bytes:
        """Return the body as it is posted. Off the loop: megabytes take a while."""
        return await asyncio.to_thread(_gzipped, body) if self._settings.gzip else body

    async def post(self, packed: bytes) -> Answer:
        """Post a packed body; an answer that never came is one, too."""
        assert self._session is not None, "not entered"
        try:
            async with self._session.post(
                self._settings.url, data=packed, allow_redirects=False
            ) as response:
                body = await _beginning(response.content)
                return read_answer(
                    response.status,
                    body,
                    content_type=response.headers.get("Content-Type", ""),
                    retry_after=response.headers.get("Retry-After", ""),
                    now_s=clock.now_s(),
                )
        except aiohttp.ClientConnectorCertificateError as problem:
            return Answer(UNTRUSTED, str(problem.certificate_error))
        except TimeoutError:
            return Answer(NO_ANSWER, f"not within {self._settings.timeout_s:g} s")
        except (aiohttp.ClientError, OSError, UnicodeError) as problem:
            return Answer(NO_ANSWER, str(problem) or type(problem).__name__)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
            # No cookies from anybody, proxies as the environment names them.
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    body = b""
    async for chunk in content.iter_any():
        body += chunk
        if len(body) >= ANSWER_BYTES_MAX:
            break
    return body[:ANSWER_BYTES_MAX]


def _gzipped(body: bytes) -> bytes:
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()
