"""The settings of `tailstream export`."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, StringConstraints

from stream.settings.errors import MASK, Problem
from stream.settings.fields import Block, Duration, Size, problems_error

MIB: Final = 1 << 20
_TOKEN: Final = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
_OWNED: Final = frozenset(("content-type", "content-encoding", "content-length", "host"))

OptionalName = Annotated[
    str,
    # `consumer_group:` and nothing, as the template writes it.
    BeforeValidator(lambda given: "" if given is None else given),
    StringConstraints(max_length=249, pattern=r"^[A-Za-z0-9._-]*$"),
]
"""What Kafka takes as a name, or nothing."""


def _endpoint(given: str) -> str:
    try:
        parts = urlsplit(given)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        usable = False
    else:
        if parts.username is not None or parts.password is not None:
            remedy = "write it as export.headers.Authorization: Basic ${env:NAME}"
            problem = Problem("", MASK, "has a user or password in it", remedy)
            raise problems_error([problem])
    if not usable or any(character.isspace() for character in given):
        remedy = "write e.g. http://localhost:4318 or https://host/v1/traces"
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
            remedy = "remove it: it follows from export.endpoint and export.compression"
            yield Problem(name, MASK, "not yours to set here", remedy)
        elif isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
            yield Problem(name, MASK, "is not text", "write its value, or remove it")
        elif not str(value).isprintable() or not str(value).isascii():
            remedy = "write it on one line, in ASCII"
            yield Problem(name, MASK, "has characters that no header may have", remedy)


class Export(Block):
    """Where `tailstream export` sends the kept traces: OTLP over HTTP."""

    endpoint: Annotated[str, AfterValidator(_endpoint)] = Field(
        default="http://localhost:4318",
        description="The backend or Collector. Without a path, /v1/traces is added. For a private "
        "certificate authority set the environment variable SSL_CERT_FILE.",
    )
    headers: Annotated[Mapping[str, str], PlainValidator(_headers)] = Field(
        default_factory=lambda: MappingProxyType({}),
        validate_default=True,
        repr=False,  # tokens
        description="HTTP headers of every request, e.g. {Authorization: 'Bearer ${env:TOKEN}'}; "
        "the values are never shown.",
    )
    compression: Literal["gzip", "none"] = Field(
        default="gzip", description="Compression of the requests."
    )
    timeout_s: Duration = Field(
        default=10.0,
        alias="timeout",
        ge=0.01,
        le=3600,
        description="How long a request may take until it is tried again.",
    )
    request_bytes_max: Size = Field(
        default=4 * MIB,
        ge=1024,
        le=1 << 30,
        description="Records are joined into requests of this size, before compression; a larger "
        "record goes alone.",
    )
    requests_max: int = Field(
        default=4,
        ge=1,
        le=256,
        description="Requests under way at once. A partition is in one at a time: its order holds.",
    )
    retry_for_s: Duration = Field(
        default=0.0,
        alias="retry_for",
        ge=0,
        description="How long a request is tried again before the command ends with exit code 1 "
        "(nothing of it committed); 0s: for ever.",
    )
    consumer_group: OptionalName = Field(
        default="", description="Consumer group; empty: `<worker.group>-export`."
    )
