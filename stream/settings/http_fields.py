"""What the settings of HTTP requests have in common: URLs without secrets, headers with them."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainValidator

from stream.settings.errors import MASK, Problem
from stream.settings.fields import problems_error

_TOKEN: Final = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
_OWNED: Final = frozenset(("content-type", "content-encoding", "content-length", "host"))


def _url(given: str) -> str:
    try:
        parts = urlsplit(given)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        usable = False
    else:
        if parts.username is not None or parts.password is not None:
            remedy = "write it beside it, in headers: {Authorization: 'Basic ${env:NAME}'}"
            problem = Problem("", MASK, "has a user or password in it", remedy)
            raise problems_error([problem])
    if not usable or any(character.isspace() for character in given):
        remedy = "write e.g. http://localhost:4318 or https://host/path"
        raise problems_error([Problem("", given, "is not an http or https URL", remedy)])
    return given


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


HttpUrl = Annotated[str, AfterValidator(_url)]
"""An http or https URL without a user in it."""

OptionalHttpUrl = Annotated[
    str,
    BeforeValidator(lambda given: "" if given is None else given),
    AfterValidator(lambda given: _url(given) if given else given),
]
"""Such a URL, or nothing."""

HttpHeaders = Annotated[Mapping[str, str], PlainValidator(_headers)]
"""Headers of a request. Their values are never shown."""
