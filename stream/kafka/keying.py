"""How the records of an input topic are keyed and placed, told from a sample of them.

A trace is whole only where all its spans are in one partition: the reason for everything asked
here. Conventions: the Collector's kafkaexporter with `partition_traces_by_id` writes the trace id
as 32 lowercase hex digits; its Jaeger encodings leave out the high half where that is 0.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stream.kafka.partitioner import PARTITIONERS, fitting
from stream.kafka.topic_rules import Finding, Level
from stream.otlp.fragment import DeadLetterReason, Scanned
from stream.otlp.scan import ScanPlan, scan

KEYED_BY_ID = "set `partition_traces_by_id: true` in the Collector's Kafka exporter"


class Encoding(StrEnum):
    """What a record's value is."""

    PROTOBUF = "OTLP protobuf"
    JSON = "OTLP/JSON"
    NO_SPANS = "no span in it"
    UNREADABLE = "not OTLP"


class Key(StrEnum):
    """What a record's key is, beside the trace id of its payload."""

    HEX = "trace id, 32 lowercase hex digits"
    UPPER_HEX = "trace id, 32 hex digits, not lowercase"
    RAW = "trace id, 16 raw bytes"
    LOW_HEX = "low half of the trace id, 16 hex digits (Jaeger)"
    MISSING = "no key"
    EMPTY = "empty key"
    OTHER = "something else"


BY_TRACE = frozenset({Key.HEX, Key.UPPER_HEX, Key.RAW, Key.LOW_HEX})
"""Keys that only spans of one trace share, nearly: they bring a trace to one partition."""


@dataclass(frozen=True, slots=True)
class SampledRecord:
    """A record of spans, as read from the topic."""

    partition: int
    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Keying:
    """What a sample says of its topic.

    `keys` counts the records that hold one trace, `mixed` those that hold several. `scattered` of
    the `traces` were seen in more than one partition. `partitioner` is the one that placed all the
    keys (a name of `partitioner.KNOWN`), None where none did or there is one partition only.
    `other_key` is an example of `Key.OTHER`, empty without one.
    """

    records: int
    encodings: Mapping[Encoding, int]
    keys: Mapping[Key, int]
    mixed: int
    traces: int
    scattered: int
    partitioner: str | None
    other_key: bytes = b""

    @property
    def by_trace(self) -> bool:
        """Whether every record holds one trace and is keyed by it."""
        return bool(self.keys) and not self.mixed and self.keys.keys() <= BY_TRACE


def examine(records: Sequence[SampledRecord], partitions: int) -> Keying:
    """Scan a sample of a topic that has so many partitions."""
    encodings: Counter[Encoding] = Counter()
    keys: Counter[Key] = Counter()
    homes: defaultdict[bytes, set[int]] = defaultdict(set)
    placed: list[tuple[bytes, int]] = []
    mixed = 0
    other_key = b""
    for record in records:
        scanned = scan(record.value, ScanPlan())
        encodings[_encoding(record.value, scanned)] += 1
        trace_ids = {fragment.trace_id for fragment in scanned.fragments}
        for trace_id in trace_ids:
            homes[trace_id].add(record.partition)
        mixed += len(trace_ids) > 1
        if len(trace_ids) != 1:
            continue
        key = _key(record.key, *trace_ids)
        keys[key] += 1
        if record.key:
            placed.append((record.key, record.partition))
        if key is Key.OTHER:
            other_key = other_key or record.key or b""
    return Keying(
        records=len(records),
        encodings=encodings,
        keys=keys,
        mixed=mixed,
        traces=len(homes),
        scattered=sum(len(home) > 1 for home in homes.values()),
        partitioner=fitting(placed, partitions) if partitions > 1 else None,
        other_key=other_key,
    )


def keying_findings(keying: Keying, topic: str, partitions: int, partitioner: str) -> list[Finding]:
    """Return what is wrong with how a topic is filled. `partitioner`: `topics.partitioner`.

    An empty sample says nothing. With a single partition every trace is whole, whatever its key.
    """
    findings = _unreadable(keying, topic)
    if partitions > 1:
        findings += _placement(keying, topic)
        if keying.by_trace and not keying.scattered:
            findings += _spelling(keying, topic)
        if keying.partitioner or (keying.by_trace and not keying.scattered):
            findings += _hash(keying, topic, partitioner)
    return findings


def _encoding(value: bytes, scanned: Scanned) -> Encoding:
    reasons = {bad.reason for bad in scanned.bad}
    if reasons & {DeadLetterReason.MALFORMED, DeadLetterReason.EMPTY}:
        return Encoding.UNREADABLE
    if not scanned.fragments and not scanned.bad:
        return Encoding.NO_SPANS
    return Encoding.JSON if value[:1] == b"{" else Encoding.PROTOBUF


def _key(key: bytes | None, trace_id: bytes) -> Key:
    if not key:
        return Key.MISSING if key is None else Key.EMPTY
    spellings = {
        trace_id: Key.RAW,
        trace_id.hex().encode(): Key.HEX,
        trace_id[8:].hex().encode(): Key.LOW_HEX,
    }
    if key in spellings:
        return spellings[key]
    return Key.UPPER_HEX if key.lower() == trace_id.hex().encode() else Key.OTHER


def _unreadable(keying: Keying, topic: str) -> list[Finding]:
    """Find what cannot be read, or has no span: another encoding may do for OTLP without spans."""
    count = keying.encodings.get(Encoding.UNREADABLE, 0)
    without = keying.encodings.get(Encoding.NO_SPANS, 0)
    texts = []
    if count:
        texts.append(
            f"{count:,} of {keying.records:,} records cannot be read as OTLP spans; they become "
            "dead letters. "
        )
    if without:
        texts.append(f"{without:,} of {keying.records:,} records hold no span. ")
    if not texts:
        return []
    text = f"topics.input {topic!r}: " + "".join(texts)
    if count + without < keying.records:
        return [Finding(Level.WARN, text + "Find out who else writes to the topic.")]
    remedy = "Set `encoding: otlp_proto` (or otlp_json) in the exporter, or correct topics.input."
    return [Finding(Level.REFUSE, text + remedy)]


def _placement(keying: Keying, topic: str) -> list[Finding]:
    """Find traces that are not whole in their partition: seen so, or bound to be."""
    if keying.scattered:
        return [
            Finding(
                Level.REFUSE,
                f"topics.input {topic!r}: {keying.scattered:,} of {keying.traces:,} traces have "
                "spans in more than one partition, so different workers would decide on parts of "
                f"them. Key the records by trace id: {KEYED_BY_ID}; let all producers use one "
                "partitioner; after the topic has grown, wait until its old records are gone.",
            )
        ]
    without = keying.keys.get(Key.MISSING, 0)
    if without:
        return [
            Finding(
                Level.REFUSE,
                f"topics.input {topic!r}: {without:,} of {keying.records:,} records have no key, "
                "so chance chooses their partition, and traces will be torn apart. Key them by "
                f"trace id: {KEYED_BY_ID}.",
            )
        ]
    other = keying.mixed + sum(count for key, count in keying.keys.items() if key not in BY_TRACE)
    if not other:
        return []
    return [
        Finding(
            Level.WARN,
            f"topics.input {topic!r}: {other:,} of {keying.records:,} records are not keyed by "
            "their one trace id. No trace was seen in two partitions, but only the key guarantees "
            f"that: {KEYED_BY_ID}.",
        )
    ]


def _spelling(keying: Keying, topic: str) -> list[Finding]:
    return [
        Finding(
            Level.WARN,
            f"topics.input {topic!r}: {count:,} of {keying.records:,} keys are the {key}. Traces "
            "are whole, but every such record counts as key_mismatch: write the 32 lowercase hex "
            f"digits; {KEYED_BY_ID}.",
        )
        for key, count in keying.keys.items()
        if key is not Key.HEX
    ]


def _hash(keying: Keying, topic: str, partitioner: str) -> list[Finding]:
    found = keying.partitioner
    if found == partitioner:
        return []
    start = f"topics.input {topic!r}: its keys are "
    if found in PARTITIONERS:
        text = f"placed by {found}, topics.partitioner is {partitioner}: set topics.partitioner: "
        return [Finding(Level.WARN, f"{start}{text}{found}")]
    if found is not None:
        text = (
            f"placed by {found}, librdkafka's default, so every record counts as misrouted: set "
            f"`partitioner={RANDOM_BESIDE[partitioner]}` at the producers"
        )
        return [Finding(Level.WARN, start + text)]
    text = (
        "placed by no partitioner known here, or by several, or the topic has grown; records count "
        f"as misrouted. Let every producer place them by {partitioner}."
    )
    return [Finding(Level.WARN, start + text)]


RANDOM_BESIDE = {"fnv1a": "fnv1a_random", "murmur2": "murmur2_random"}
"""librdkafka's names: these hashes, and a partition by chance for a record without a key."""
