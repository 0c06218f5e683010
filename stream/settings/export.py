"""The settings of `tailstream export`."""

from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from stream.settings.fields import Block, Duration, Size
from stream.settings.http_fields import HttpHeaders, http_url

MIB: Final = 1 << 20

OptionalName = Annotated[
    str,
    # `consumer_group:` and nothing, as the template writes it.
    BeforeValidator(lambda given: "" if given is None else given),
    StringConstraints(max_length=249, pattern=r"^[A-Za-z0-9._-]*$"),
]
"""What Kafka takes as a name, or nothing."""


class Export(Block):
    """Where `tailstream export` sends the kept traces: OTLP over HTTP."""

    endpoint: Annotated[
        str, http_url("http://localhost:4318 or https://host/v1/traces", "export.headers")
    ] = Field(
        default="http://localhost:4318",
        description="The backend or Collector. Without a path, /v1/traces is added. For a private "
        "certificate authority set the environment variable SSL_CERT_FILE.",
    )
    headers: HttpHeaders = Field(
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
