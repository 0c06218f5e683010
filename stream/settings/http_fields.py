"""What the settings of HTTP requests have in common: URLs without secrets, headers with them."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, PlainValidator

from stream.settings.errors import MASK, Problem
from stream.settings.fields import problems_error

_TOKEN: Final = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
_OWNED: Final = frozenset(("content-type", "content-encoding", "content-length", "host"))


def http_url(example: str, headers: str) -> AfterValidator:
    """Return what takes http and https URLs without a user in them.

    `example` is one, or two, for the remedy; `headers` is the setting where a user may stand.
    """
    return AfterValidator(lambda given: _checked(given, example, headers))


def optional_http_url(example: str, headers: str) -> AfterValidator:
    """Return what takes such a URL, or nothing."""
    return AfterValidator(lambda given: given and _checked(given, example, headers))


def _checked(given: str, example: str, headers: str) -> str:
    if _is_url(given, headers) and not any(character.isspace() for character in given):
        return given
    remedy = f"write e.g. {example}"
    raise problems_error([Problem("", given, "is not an http or https URL", remedy)])


def _is_url(given: str, headers: str) -> bool:
    try:
        parts = urlsplit(given)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and "\\" not in given
        # What no name server can be asked for, the client stumbles over at each request.
        _ = parts.port, (parts.hostname or "").encode("idna")
    except ValueError:
        return False
    if parts.username is not None or parts.password is not None:
        remedy = f"write it as {headers}.Authorization: Basic ${{env:NAME}}"
        problem = Problem("", MASK, "has a user or password in it", remedy)
        raise problems_error([problem])
    return usable


def _headers(given: Any) -> Mapping[str, str]:
    """Return the headers, read-only. What is wrong is told without their values: secrets."""
    if given is None:
        return MappingProxyType({})
    if not isinstance(given, Mapping):
        remedy = "write e.g. headers: {Authorization: 'Bearer ${env:TOKEN}'}"
        raise problems_error([Problem("", MASK, "must be a map of header names", remedy)])
    problems = list(_problems(given))
    if problems:
        raise problems_error(problems)
    return MappingProxyType({str(name): str(value) for name, value in given.items()})


def _problems(given: Mapping[Any, Any]) -> Iterator[Problem]:
    for name, value in given.items():
        if not isinstance(name, str) or not name or not _TOKEN.issuperset(name):
            yield Problem("", MASK, "has a name that no HTTP header has", "correct the name")
        elif name.lower() in _OWNED:
            remedy = "remove it: it follows from the URL and from what is sent"
            yield Problem(name, MASK, "not yours to set here", remedy)
        elif isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
            yield Problem(name, MASK, "is not text", "write its value, or remove it")
        elif not str(value).isprintable() or not str(value).isascii():
            remedy = "write it on one line, in ASCII"
            yield Problem(name, MASK, "has characters that no header may have", remedy)


HttpHeaders = Annotated[Mapping[str, str], PlainValidator(_headers)]
"""Headers of a request. Their values are never shown."""
