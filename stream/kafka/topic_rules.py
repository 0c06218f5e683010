"""What the topics must be like: rules to check them by, and plans for those to be made.

Every finding says what is wrong, the value it has, and what to do. No calls are made here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from stream.kafka.topics import TopicFacts, TopicPlan

NO_LIMIT = -1
LOG_APPEND_TIME = "LogAppendTime"
DELETE = "delete"
REPLICAS_MAX = 3
DAY_MS = 24 * 3600 * 1000
DEAD_LETTERS_RETENTION_MS = 7 * DAY_MS
BROKER_MESSAGE_BYTES = 1_048_588
"""Kafka's default of `max.message.bytes`."""

MESSAGE_BYTES_SENSIBLE = 64 * 1024
"""Nobody is told to write smaller records: too many traces would be split."""

FRAMING_BYTES = 16 * 1024
"""Room for key, headers and the batch: a topic's limit counts them, ours is of the value alone."""


class Level(StrEnum):
    """What a finding means for the start of a worker."""

    REFUSE = "refuse"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be. `text` is for the operator, whole."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What the topics are checked against: names and limits of the configuration.

    `message_bytes_max` is `output.message_bytes_max`; `bootstrap` goes into the commands that the
    findings recommend. `metrics` and `unkeyed` are what `tailstream exemplars` and `rekey` read,
    empty where they are not wanted; `decisions_retention_ms` is `decisions.retention`.
    """

    input: str
    output: str
    decisions: str
    dead_letters: str
    message_bytes_max: int
    bootstrap: str
    metrics: str = ""
    unkeyed: str = ""
    decisions_retention_ms: int = 0

    def roles(self) -> dict[str, str]:
        """Return the names of the topics by the setting below `topics.` that gives each."""
        return {
            "input": self.input,
            "output": self.output,
            "decisions": self.decisions,
            "dead_letters": self.dead_letters,
        }

    def beside(self) -> dict[str, str]:
        """Return the same of those that only commands beside the workers read."""
        named = {"metrics": self.metrics, "unkeyed": self.unkeyed}
        return {role: name for role, name in named.items() if name}

    def all_roles(self) -> dict[str, str]:
        """Return both."""
        return self.roles() | self.beside()


def check(topics: Mapping[str, TopicFacts], needs: Needs) -> list[Finding]:
    """Return what is wrong with the topics, refusals first. `topics` lacks those that are missing.

    Rules that compare with a missing topic are left out: it is reported missing.
    """
    found = {role: topics[name] for role, name in needs.all_roles().items() if name in topics}
    findings = [rule_finding for rule in RULES for rule_finding in rule(found, needs)]
    return sorted(findings, key=lambda finding: finding.level is Level.WARN)


def plan_missing(
    topics: Mapping[str, TopicFacts], needs: Needs, *, partitions: int, brokers: int
) -> list[TopicPlan]:
    """Plan the topics that are missing; those that exist are never changed.

    `partitions` is for a new input. The others get as many as the input has, the decisions the
    input's retention where that is known (a new input's is the broker's default, and so is theirs).
    """
    source = topics.get(needs.input)
    count = source.partitions if source else partitions
    own: dict[str, dict[str, str]] = {
        "input": {},
        "output": _message_limit(needs),
        "decisions": _decisions_retention(source),
        "dead_letters": _dead_letters_retention(source) | _message_limit(needs),
        "metrics": {},
        "unkeyed": {},
    }
    replicas = min(REPLICAS_MAX, brokers)
    shared = {"cleanup.policy": DELETE, "message.timestamp.type": LOG_APPEND_TIME}
    if replicas == REPLICAS_MAX:
        shared["min.insync.replicas"] = "2"
    return [
        TopicPlan(name, count, replicas, shared | own[role])
        for role, name in needs.all_roles().items()
        if name not in topics
    ]


Found = Mapping[str, TopicFacts]
Rule = Callable[[Found, Needs], list[Finding]]


def _missing(found: Found, needs: Needs) -> list[Finding]:
    return [
        _refuse(
            f"topics.{role} is {name!r}: the cluster has no such topic. Create it with "
            f"`tailstream topics --create`, or correct topics.{role}."
        )
        for role, name in needs.roles().items()
        if role not in found
    ]


def _partition_counts(found: Found, needs: Needs) -> list[Finding]:
    if "input" not in found:
        return []
    count = found["input"].partitions
    return [
        _refuse(
            f"topics.{role} {topic.name!r} has {_partitions(topic.partitions)}, topics.input "
            f"{needs.input!r} has {count}: what is read from a partition is written to the one of "
            f"the same number. Grow it: kafka-topics.sh --bootstrap-server {needs.bootstrap} "
            f"--alter --topic {topic.name} --partitions {count}"
        )
        for role, topic in found.items()
        if role in {"output", "decisions"} and topic.partitions < count
    ]


def _decisions_ahead(found: Found, needs: Needs) -> list[Finding]:
    if not {"input", "decisions"} <= found.keys():
        return []
    count, decisions = found["input"].partitions, found["decisions"].partitions
    if decisions <= count:
        return []
    return [
        _warn(
            f"topics.decisions {needs.decisions!r} has {_partitions(decisions)}, topics.input "
            f"{needs.input!r} has {count}: right while the input is about to grow, the decisions "
            f"first. Grow it: kafka-topics.sh --bootstrap-server {needs.bootstrap} --alter "
            f"--topic {needs.input} --partitions {decisions}"
        )
    ]


def _cleanup(found: Found, needs: Needs) -> list[Finding]:
    return [
        _refuse(
            f"topics.{role} {topic.name!r} has cleanup.policy={topic.cleanup_policy}: compaction "
            f"keeps one record a key, and {COMPACTION_LOSES[role]}. Change it: "
            + _alter(topic.name, needs, f"cleanup.policy={DELETE}")
        )
        for role, topic in found.items()
        if role in needs.roles() and "compact" in topic.cleanup_policy
    ]


COMPACTION_LOSES = {
    "input": "the spans of a trace share theirs, so it would lose spans",
    "output": "the parts and late spans of a trace share theirs, so it would lose kept spans",
    "decisions": "a late span's decision covers only itself, so a replay would publish twice",
    "dead_letters": "refuses a record without one, as a dead letter may be",
}


def _beside(found: Found, needs: Needs) -> list[Finding]:
    """No worker reads these: what is wrong with them stops none."""
    findings = []
    for role, name in needs.beside().items():
        command, otherwise = READ_BY[role]
        topic = found.get(role)
        if topic is None:
            findings.append(
                _warn(
                    f"topics.{role} is {name!r}: the cluster has no such topic, and `tailstream "
                    f"{command}` reads it. Create it with `tailstream topics --create`, correct "
                    f"topics.{role}, or {otherwise}."
                )
            )
        elif "compact" in topic.cleanup_policy:
            findings.append(
                _warn(
                    f"topics.{role} {name!r} has cleanup.policy={topic.cleanup_policy}: compaction "
                    f"keeps one record a key, so `tailstream {command}` may miss others. Change "
                    "it: " + _alter(name, needs, f"cleanup.policy={DELETE}")
                )
            )
    return findings


READ_BY = {
    "metrics": ("exemplars", "set exemplars.kafka to false"),
    "unkeyed": ("rekey", "leave it empty"),
}


def _forgets_early(found: Found, needs: Needs) -> list[Finding]:
    wanted_ms = needs.decisions_retention_ms
    return [
        _warn(
            f"topics.{role} {found[role].name!r} has retention.ms={found[role].retention_ms}, less "
            f"than decisions.retention ({wanted_ms} ms): {harm}. Change it: "
            + _alter(found[role].name, needs, f"retention.ms={max(wanted_ms, least_ms)}")
        )
        for role, (harm, least_ms) in FORGETTING.items()
        if role in found and _shorter(found[role].retention_ms, wanted_ms)
    ]


FORGETTING = {
    "input": ("a longer outage loses spans, and dropped traces cannot be read back", DAY_MS),
    "metrics": ("exemplars are deleted while their traces could still be pinned", 0),
}


def _retention(found: Found, needs: Needs) -> list[Finding]:
    if not {"input", "decisions"} <= found.keys():
        return []
    source, decisions = found["input"], found["decisions"]
    findings = []
    if _shorter(decisions.retention_ms, source.retention_ms):
        findings.append(
            _refuse(
                f"topics.decisions {decisions.name!r} has retention.ms={decisions.retention_ms}, "
                f"less than the {source.retention_ms} of topics.input {source.name!r}: a replay "
                "would find spans whose decision is gone, and publish them again. Change it: "
                + _alter(decisions.name, needs, f"retention.ms={source.retention_ms}")
            )
        )
    if decisions.retention_bytes != NO_LIMIT and source.retention_bytes == NO_LIMIT:
        findings.append(
            _warn(
                f"topics.decisions {decisions.name!r} has retention.bytes="
                f"{decisions.retention_bytes}, which topics.input {source.name!r} has not: "
                "decisions may go before the spans they speak of. Change it: "
                + _alter(decisions.name, needs, f"retention.bytes={NO_LIMIT}")
            )
        )
    return findings


def _timestamps(found: Found, needs: Needs) -> list[Finding]:
    source = found.get("input")
    if source is None or source.timestamp_type == LOG_APPEND_TIME:
        return []
    return [
        _warn(
            f"topics.input {source.name!r} has message.timestamp.type={source.timestamp_type}: "
            "windows follow the producers' clocks; a jump is clamped and counted, and may change "
            "what a trace's decision has seen. Change it: "
            + _alter(source.name, needs, f"message.timestamp.type={LOG_APPEND_TIME}")
        )
    ]


def _message_sizes(found: Found, needs: Needs) -> list[Finding]:
    return [
        _refuse(
            f"topics.{role} {topic.name!r} has max.message.bytes={topic.max_message_bytes}, too "
            f"little for output.message_bytes_max={needs.message_bytes_max} and {FRAMING_BYTES} "
            "of key, headers and batch: the broker would refuse the largest records. Change it: "
            + _alter(topic.name, needs, f"max.message.bytes={_message_bytes(needs)}")
            + _or_smaller_records(topic.max_message_bytes - FRAMING_BYTES)
        )
        for role, topic in found.items()
        if role in {"output", "dead_letters"}
        and topic.max_message_bytes < needs.message_bytes_max + FRAMING_BYTES
    ]


def _or_smaller_records(room_bytes: int) -> str:
    if room_bytes < MESSAGE_BYTES_SENSIBLE:
        return ""
    return f", or set output.message_bytes_max to {room_bytes}."


RULES: tuple[Rule, ...] = (
    _missing,
    _partition_counts,
    _cleanup,
    _retention,
    _message_sizes,
    _decisions_ahead,
    _timestamps,
    _beside,
    _forgets_early,
)


def _message_limit(needs: Needs) -> dict[str, str]:
    return {"max.message.bytes": str(_message_bytes(needs))}


def _message_bytes(needs: Needs) -> int:
    return max(BROKER_MESSAGE_BYTES, needs.message_bytes_max + FRAMING_BYTES)


def _decisions_retention(source: TopicFacts | None) -> dict[str, str]:
    limits = {"retention.bytes": str(NO_LIMIT)}
    if source is not None:
        limits["retention.ms"] = str(source.retention_ms)
    return limits


def _dead_letters_retention(source: TopicFacts | None) -> dict[str, str]:
    """A week, for people are to look at them; longer where the input is kept for longer."""
    if source is None or _shorter(source.retention_ms, DEAD_LETTERS_RETENTION_MS):
        return {"retention.ms": str(DEAD_LETTERS_RETENTION_MS)}
    return {"retention.ms": str(source.retention_ms)}


def _shorter(limit: int, other: int) -> bool:
    """Whether a limit lets go before another one does, -1 being none."""
    return limit != NO_LIMIT and (other == NO_LIMIT or limit < other)


def _alter(topic: str, needs: Needs, config: str) -> str:
    return (
        f"kafka-configs.sh --bootstrap-server {needs.bootstrap} --alter --entity-type topics "
        f"--entity-name {topic} --add-config {config}"
    )


def _partitions(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"


def _refuse(text: str) -> Finding:
    return Finding(Level.REFUSE, text)


def _warn(text: str) -> Finding:
    return Finding(Level.WARN, text)
