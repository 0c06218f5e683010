"""The settings of a worker: one frozen value, checked whole before the first message."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from stream.settings.checks import cross_checks
from stream.settings.differences import differences
from stream.settings.errors import MASK, Problem, masked
from stream.settings.exemplars import Exemplars
from stream.settings.export import Export, OptionalName
from stream.settings.fields import (
    Block,
    Duration,
    FromList,
    KafkaName,
    Name,
    Size,
    problems_error,
    written,
)
from stream.settings.kafka import KAFKA_DEFAULTS, KafkaMap
from stream.settings.policies import default_policies
from stream.settings.promotion import Promotion
from stream.settings.tail_sampling import DAY_S, NOT_NEEDED, TailSampling
from stream.settings.units import format_duration

MIB = 1 << 20


def _not_empty(given: Any) -> Any:
    """Refuse an empty path, which would be the directory where the worker was started."""
    if isinstance(given, str) and not given.strip():
        raise problems_error([Problem("", given, "empty", "name a directory, e.g. ./data")])
    return given


class Worker(Block):
    """How a worker joins its group, reads and commits."""

    group: Name = Field(
        default="tailstream", description="Consumer group; one fleet of workers is one group."
    )
    instance_id: KafkaName = Field(
        default="worker-0",
        description="This worker's slot, stable over restarts and unlike any other's: with the "
        "group it names the transactions, so that a second worker in the slot is fenced. HOSTNAME "
        "is the host's name also where it is not set.",
        json_schema_extra={"reference": "${env:HOSTNAME:-worker-0}"},
    )
    static_membership: bool = Field(
        default=False,
        description="Join as a static member (group.instance.id): a restart within the session "
        "keeps the partitions; a worker that leaves for good is waited for. Not for autoscaling.",
    )
    initial_offset: Literal["earliest", "latest"] = Field(
        default="earliest", description="Where a group starts that has never committed."
    )
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        default="exactly_once",
        description="at_least_once is for brokers without transactions: a crash can republish.",
    )
    commit_interval_s: Duration = Field(
        default=0.5,
        alias="commit_interval",
        ge=0.01,
        le=10,
        description="How often output, decisions and offsets are committed together.",
    )
    idle_grace_s: Duration = Field(
        default=0.5,
        alias="idle_grace",
        ge=0,
        le=60,
        description="How long after its deadline a trace is decided by the wall clock when its "
        "partition has no newer record.",
    )
    position_group: bool = Field(
        default=True,
        description="Commit the read position to the group `<group>-position`, whose lag is the "
        "true one (the main group holds the resume offset).",
    )
    session_timeout_s: Duration = Field(
        default=10.0,
        alias="session_timeout",
        ge=1,
        le=1800,
        description="After how long a silent worker loses its partitions; the broker has bounds.",
    )
    transaction_timeout_s: Duration = Field(
        default=30.0,
        alias="transaction_timeout",
        ge=1,
        le=900,
        description="After how long the broker aborts a silent worker's transaction.",
    )

    @property
    def position_group_name(self) -> str:
        """The group that the read position is committed to, with `position_group`."""
        return f"{self.group}-position"


class Topics(Block):
    """The topics, all of one cluster."""

    input: KafkaName = Field(
        default="otlp_spans", description="OTLP spans, keyed by trace id: what is read."
    )
    unkeyed: OptionalName = Field(
        default="",
        description="What `tailstream rekey` reads: OTLP spans that are not keyed by trace id.",
    )
    output: KafkaName = Field(default="otlp_spans_sampled", description="The kept traces.")
    decisions: KafkaName = Field(
        default="tailstream_decisions",
        description="One record a decision; as many partitions as the input.",
    )
    dead_letters: KafkaName = Field(
        default="tailstream_dead_letters", description="Records that cannot be sampled, and why."
    )
    metrics: KafkaName = Field(
        default="otlp_metrics",
        description="OTLP metrics: `tailstream exemplars` pins the traces of their exemplars.",
    )
    partitioner: Literal["fnv1a", "murmur2"] = Field(
        default="fnv1a",
        description="How the input's exporters choose a key's partition: fnv1a (the Collector) "
        "or murmur2 (Java clients).",
    )


class Decisions(Block):
    """How long decisions are remembered."""

    retention_s: Duration = Field(
        default=600.0,
        alias="retention",
        ge=1,
        le=7 * DAY_S,
        description="How long late spans find their trace's decision; at least decision_wait.",
    )


class Storage(Block):
    """Where spans and decisions are held until they are not needed. Kafka is the durable copy."""

    directory: Annotated[Path, BeforeValidator(_not_empty), FromList] = Field(
        default=Path("./data"), description="Directory of the files, this worker's own."
    )
    memory_bytes: Size = Field(
        default=512 * MIB,
        alias="memory",
        ge=MIB,
        le=1 << 50,
        description="Memory for all that is held: spans, which spill, open traces, decisions, what "
        "was read and not folded. Where open traces fill it, the oldest are decided (`overload`).",
    )
    disk_bytes: Size = Field(
        default=20 << 30,
        alias="disk",
        ge=MIB,
        le=1 << 60,
        description="Disk for what does not fit in the memory; above it the oldest open traces are "
        "decided (`disk_limit`).",
    )
    spans: Literal["spill", "memory", "rocksdb"] = Field(
        default="spill",
        description="Where spans wait: spill (in memory, the oldest on disk when it is short), "
        "memory, or rocksdb.",
    )
    decisions: Literal["spill", "memory", "rocksdb"] = Field(
        default="spill",
        description="Where decisions are remembered: spill (in memory, the oldest on disk when "
        "it is short), memory (all, at the open traces' expense), or rocksdb.",
    )


class Limits(Block):
    """What is bounded. Reaching a limit is a trigger with a counter, never a silent loss."""

    open_traces_max: int = Field(
        default=1_000_000,
        ge=1,
        le=1 << 40,
        description="Open traces of a worker; above it the oldest is decided (`overload`).",
    )
    trace_spans_max: int = Field(
        default=100_000,
        ge=1,
        le=1 << 40,
        description="Spans of an open trace; at it the trace is decided (`span_limit`).",
    )
    trace_bytes_max: Size = Field(
        default=50 * MIB,
        ge=1024,
        le=1 << 40,
        description="Bytes of an open trace; at it the trace is decided (`trace_bytes_limit`).",
    )
    pins_max: int = Field(
        default=100_000,
        ge=1,
        le=1 << 40,
        description="Pins that a worker holds: those that wait for their trace's first span, and "
        "promotions under way. Above it a pin is refused, and the policies alone decide.",
    )


class Output(Block):
    """How kept traces are written."""

    message_bytes_max: Size = Field(
        default=1_000_000,
        ge=1024,
        le=1_000_000_000,
        description="A larger trace is split into records of this size; at most what the broker "
        "takes (message.max.bytes).",
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        default="lz4", description="Compression of everything that is produced."
    )
    stamp: Literal["spans", "root", "none"] = Field(
        default="spans",
        description="Which spans get the attributes `tailstream.policy` and `tailstream.trigger`.",
    )
    copy_headers: Annotated[tuple[Name, ...], FromList] = Field(
        default=(),
        description="Headers of input records that go out with their trace, each value once; at "
        "most 64 and 1 KiB a trace.",
    )


class Web(Block):
    """The web server with metrics and health."""

    host: Name = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0: all.")
    port: int = Field(default=6066, ge=1, le=65_535, description="Port to listen on.")
    kafka_exporter_names: bool = Field(
        default=False,
        description="Tell the lag of `<group>-position` by kafka_exporter's name, too: "
        "`kafka_consumergroup_lag{consumergroup, topic, partition}`.",
    )


class Log(Block):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is logged."
    )
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, JSON otherwise."
    )


class Settings(Block):
    """Everything an operator can set, by DESIGN section 9's names."""

    compatibility: Literal["fixed", "collector"] = Field(
        default="fixed",
        description="fixed: policies do what their names say. collector: they do as the Collector "
        "v0.158 does, known bugs included; what differs for these policies is said at the start. "
        "Its latency and attributes take longer to judge.",
    )
    kafka: KafkaMap = Field(
        default_factory=lambda: dict(KAFKA_DEFAULTS),
        validate_default=True,
        repr=False,  # passwords
        description="librdkafka's settings by their own names; unit and meaning are librdkafka's.",
    )
    worker: Worker = Field(default_factory=Worker)
    topics: Topics = Field(default_factory=Topics)
    tail_sampling: TailSampling = Field(default_factory=TailSampling)
    decisions: Decisions = Field(default_factory=Decisions)
    promotion: Promotion = Field(default_factory=Promotion)
    storage: Storage = Field(default_factory=Storage)
    limits: Limits = Field(default_factory=Limits)
    output: Output = Field(default_factory=Output)
    export: Export = Field(default_factory=Export)
    exemplars: Exemplars = Field(default_factory=Exemplars)
    web: Web = Field(default_factory=Web)
    log: Log = Field(default_factory=Log)

    _source_notes: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _cross_checks(self) -> Self:
        problems = tuple(cross_checks(self))
        if problems:
            raise problems_error(problems)
        return self

    @property
    def as_collector(self) -> bool:
        """Whether the Collector's known bugs are reproduced."""
        return self.compatibility == "collector"

    @property
    def lag_told_of(self) -> tuple[str, str] | None:
        """The group and topic whose lag is told by kafka_exporter's name, if it is to be."""
        told = self.web.kafka_exporter_names
        return (self.worker.position_group_name, self.topics.input) if told else None

    def notes(self) -> list[str]:
        """Return the lines to say at start: what is accepted but not needed, what to know."""
        lines = [*self._source_notes, *self.tail_sampling.notes()]
        # Of our own defaults nobody asks what another program would make of them.
        if self.tail_sampling.policies != default_policies():
            lines += differences(self.tail_sampling, as_collector=self.as_collector)
        if self.worker.delivery == "at_least_once":
            lines.append("worker.delivery: at_least_once: a crash can republish kept traces")
        return [*lines, *self.pin_notes()]

    def pin_notes(self) -> list[str]:
        """Return what to know of pins: a worker's own file may say otherwise than the pinner's."""
        ttl_s, kept_s = self.exemplars.ttl_s, self.decisions.retention_s
        if ttl_s <= kept_s:
            return []
        return [
            (
                f"exemplars.ttl: {format_duration(ttl_s)}: a worker holds a pin for at most "
                f"decisions.retention ({format_duration(kept_s)}): lower one or raise the other"
            )
        ]

    def policies_hash(self) -> str:
        """Return 8 hex digits that change when the policies or the decision waits do.

        SHA-256 over canonical JSON, so it is the same in every process and on every machine.
        """
        sampling = self.tail_sampling
        judged: dict[str, Any] = {
            "policies": [policy.model_dump(mode="json") for policy in sampling.policies],
            "decision_wait_s": sampling.decision_wait_s,
            "decision_wait_after_root_received_s": sampling.decision_wait_after_root_received_s,
        }
        later = ("maximum_trace_size_bytes", "root_condition")
        judged |= {name: value for name in later if (value := getattr(sampling, name))}
        if sampling.at_ingest:
            judged["sampling_strategy"] = sampling.sampling_strategy
        if self.as_collector:
            judged["compatibility"] = self.compatibility
        canonical = json.dumps(judged, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:8]

    def public(self) -> dict[str, Any]:
        """Return the settings as YAML would write them, every secret as `****`.

        Of the Collector's options that do nothing here, those that were given.
        """
        tree = masked("", written(self))
        assert isinstance(tree, dict)
        # Any header can be a token, whatever its name.
        tree["export"]["headers"] = dict.fromkeys(tree["export"]["headers"], MASK)
        sampling = self.tail_sampling
        idle = set(NOT_NEEDED) - sampling.model_fields_set
        tree["tail_sampling"] = {
            option: value for option, value in tree["tail_sampling"].items() if option not in idle
        }
        return tree
