"""The settings of `tailstream exemplars`, and of the pins that `tailstream pin` writes."""

from types import MappingProxyType
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from stream.settings.export import OptionalName
from stream.settings.fields import Block, Duration, FromList, Name, OptionalText, Size
from stream.settings.http_fields import HttpHeaders, http_url, optional_http_url

MIB: Final = 1 << 20
DAY_S: Final = 86_400
_Query = Annotated[str, StringConstraints(min_length=1, max_length=10_000, pattern=r"\S")]
_Endpoint = Annotated[str, http_url("http://shop:9464/metrics", "exemplars.scrape.headers")]
_HEADERS: Final = "HTTP headers of every request, e.g. {X-Scope-OrgID: blue}; never shown."


class Prometheus(Block):
    """A Prometheus, or what speaks its API, to ask for exemplars (`query_exemplars`)."""

    url: Annotated[
        OptionalText, optional_http_url("http://prometheus:9090", "exemplars.prometheus.headers")
    ] = Field(
        default="",
        description="Its address, e.g. http://prometheus:9090; empty: none is asked. It needs "
        "--enable-feature=exemplar-storage.",
    )
    headers: HttpHeaders = Field(
        default_factory=lambda: MappingProxyType({}),
        validate_default=True,
        repr=False,  # tokens
        description=_HEADERS,
    )
    queries: Annotated[tuple[_Query, ...], FromList] = Field(
        default=('{__name__=~".+"}',),
        min_length=1,
        description="PromQL whose series' exemplars are wanted; by default all.",
    )
    interval_s: Duration = Field(
        default=15.0, alias="interval", ge=0.1, le=DAY_S, description="How often it is asked."
    )
    overlap_s: Duration = Field(
        default=120.0,
        alias="overlap",
        ge=0,
        le=DAY_S,
        description="How far each question reaches back into the one before: an exemplar has the "
        "time of its measurement, and comes with the next scrape. Above the scrape interval.",
    )


class Scrape(Block):
    """OpenMetrics endpoints to scrape for exemplars. Each shows a bucket's last one only."""

    urls: Annotated[tuple[_Endpoint, ...], FromList] = Field(
        default=(), description="The endpoints, e.g. [http://shop:9464/metrics]; empty: none."
    )
    headers: HttpHeaders = Field(
        default_factory=lambda: MappingProxyType({}),
        validate_default=True,
        repr=False,  # tokens
        description=_HEADERS,
    )
    interval_s: Duration = Field(
        default=15.0, alias="interval", ge=0.1, le=DAY_S, description="How often each is scraped."
    )


class Exemplars(Block):
    """How `tailstream exemplars` finds exemplars, and how long their traces are pinned."""

    kafka: bool = Field(
        default=True,
        description="Read OTLP metrics from topics.metrics; false: only what prometheus and scrape "
        "name.",
    )
    consumer_group: OptionalName = Field(
        default="", description="Consumer group; empty: `<worker.group>-exemplars`."
    )
    ttl_s: Duration = Field(
        default=600.0,
        alias="ttl",
        ge=0.001,
        le=7 * DAY_S,
        description="How long a pin waits for its trace's first span. A trace is pinned again only "
        "after so long.",
    )
    pins_remembered_max: int = Field(
        default=100_000,
        ge=1,
        le=1 << 30,
        description="Traces remembered as pinned; above it the oldest is forgotten, and may be "
        "pinned again, which costs a record.",
    )
    all_partitions: bool = Field(
        default=False,
        description="Write each pin to every partition of the input: while a trace's spans lie in "
        "several (records_total{kind=misrouted} grows).",
    )
    json_input: bool = Field(
        default=False,
        description="Write `{}` as a pin's value: where all who read topics.input expect JSON.",
    )
    trace_id_labels: Annotated[tuple[Name, ...], FromList] = Field(
        default=("trace_id", "traceID", "TraceID", "traceId"),
        min_length=1,
        description="Labels that hold the trace id in Prometheus and OpenMetrics; the first that "
        "an exemplar has counts.",
    )
    timeout_s: Duration = Field(
        default=10.0,
        alias="timeout",
        ge=0.01,
        le=3600,
        description="How long a Prometheus or an endpoint may take to answer.",
    )
    answer_bytes_max: Size = Field(
        default=64 * MIB,
        ge=1024,
        le=1 << 30,
        description="A larger answer is not read, but counted: its exemplars are not pinned.",
    )
    prometheus: Prometheus = Field(default_factory=Prometheus)
    scrape: Scrape = Field(default_factory=Scrape)
