"""What the cluster and its topics are like, and making topics: every call goes to a broker.

What they should be like is `topic_rules`, which makes no calls. Settings are librdkafka's, as they
stand below `kafka.` in the configuration.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from stream.kafka.admission import remedy_at_the_door

REQUEST_TIMEOUT_S = 4.0
"""For one answer. Two of them still tell of an unreachable broker in under 10 s."""

DESCRIBE_TRIES_MAX = 50
DESCRIBE_PAUSE_S = 0.1

KEY_NOT_READ = "ssl.key.location failed"  # what librdkafka says of a key that it cannot open
ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - a code of librdkafka itself
UNREACHABLE = frozenset(
    {
        ALL_BROKERS_DOWN,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - a code of librdkafka itself
        KafkaError._RESOLVE,  # noqa: SLF001 - a code of librdkafka itself
        KafkaError._SSL,  # noqa: SLF001 - a code of librdkafka itself
        KafkaError._TIMED_OUT,  # noqa: SLF001 - a code of librdkafka itself
        KafkaError._TRANSPORT,  # noqa: SLF001 - a code of librdkafka itself
        KafkaError.REQUEST_TIMED_OUT,
    }
)
UNAUTHORISED = frozenset(
    {
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }
)


class ClusterError(Exception):
    """The cluster cannot be used as configured. The text names setting, value and remedy."""


class UnreachableError(ClusterError):
    """No broker answers: a wrong address, or an outage, which nobody can tell from here."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """A cluster: its id and how many brokers it has now."""

    cluster_id: str
    brokers: int


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as it is now. Kafka's -1 stands for no limit in the retentions.

    `cleanup_policy` is `delete`, `compact` or both with a comma; `timestamp_type` is `CreateTime`
    or `LogAppendTime`; `topic_id` is new when a topic is deleted and made again.
    """

    name: str
    topic_id: str
    partitions: int
    replication_factor: int
    cleanup_policy: str
    timestamp_type: str
    retention_ms: int
    retention_bytes: int
    max_message_bytes: int


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic to be made. `config` holds Kafka's topic-level names."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


class Cluster:
    """A cluster, asked through the admin API.

    Every method raises `ClusterError` where no broker answers within `REQUEST_TIMEOUT_S` seconds
    or the request is refused. `option` is the command's option that gave the address, if one did.
    """

    def __init__(self, kafka: Mapping[str, Any], *, option: str = "") -> None:
        self._complaints = Complaints(kafka, option=option)
        self._admin = self._complaints.client(AdminClient, kafka)

    def facts(self) -> ClusterFacts:
        """Read the cluster's id and count its brokers."""
        future = self._admin.describe_cluster(request_timeout=REQUEST_TIMEOUT_S)
        answer = self._result(future, "describe the cluster")
        return ClusterFacts(answer.cluster_id, len(answer.nodes))

    def describe(self, names: Iterable[str]) -> dict[str, TopicFacts]:
        """Read what is true of these topics. One that does not exist is not in the answer."""
        wanted = sorted(set(names))
        assert wanted, "a broker refuses to describe no topic"
        futures = self._admin.describe_topics(
            TopicCollection(wanted), request_timeout=REQUEST_TIMEOUT_S
        )
        found = self._existing(futures, "describe topic")
        if not found:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in found]
        configs = self._existing(
            self._admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S),
            "describe the configuration of topic",
        )
        return {name: _topic_facts(found[name], config) for name, config in configs.items()}

    def create(self, plans: Sequence[TopicPlan]) -> None:
        """Make topics, and wait until they can be described.

        One that somebody else made meanwhile is left as it is.
        """
        for plan in plans:
            topic = NewTopic(
                plan.name,
                num_partitions=plan.partitions,
                replication_factor=plan.replication_factor,
                config=dict(plan.config),
            )
            futures = self._admin.create_topics([topic], request_timeout=REQUEST_TIMEOUT_S)
            ignored = KafkaError.TOPIC_ALREADY_EXISTS
            self._result(futures[plan.name], f"create topic {plan.name!r}", ignored=ignored)
        # The controller has them; the broker that we ask may learn of them a moment later.
        for _ in range(DESCRIBE_TRIES_MAX if plans else 0):
            if len(self.describe(plan.name for plan in plans)) == len(plans):
                return
            time.sleep(DESCRIBE_PAUSE_S)

    def delete(self, names: Iterable[str]) -> None:
        """Delete topics. One that does not exist is left as it is."""
        wanted = list(names)
        futures = self._admin.delete_topics(wanted, request_timeout=REQUEST_TIMEOUT_S)
        ignored = KafkaError.UNKNOWN_TOPIC_OR_PART
        for name in wanted:
            self._result(futures[name], f"delete topic {name!r}", ignored=ignored)

    def delete_groups(self, names: Iterable[str]) -> None:
        """Delete consumer groups without members. One that does not exist is left as it is."""
        wanted = list(names)
        futures = self._admin.delete_consumer_groups(wanted, request_timeout=REQUEST_TIMEOUT_S)
        ignored = KafkaError.GROUP_ID_NOT_FOUND
        for name in wanted:
            self._result(futures[name], f"delete consumer group {name!r}", ignored=ignored)

    def _existing(self, futures: Mapping[Any, Future[Any]], doing: str) -> dict[str, Any]:
        """Wait for answers about topics, keyed by topic name; leave out topics that are unknown."""
        answers = {}
        for key, future in futures.items():
            name = key.name if isinstance(key, ConfigResource) else key
            answer = self._result(
                future, f"{doing} {name!r}", ignored=KafkaError.UNKNOWN_TOPIC_OR_PART
            )
            if answer is not None:
                answers[name] = answer
        return answers

    def _result(self, future: Future[Any], doing: str, *, ignored: int | None = None) -> Any:
        try:
            return future.result()
        except KafkaException as problem:
            error = problem.args[0]
            if error.code() == ignored:
                return None
            self._admin.poll(0)
            raise self._complaints.explained(error, doing) from None


class Complaints:
    """What a client said while it failed to connect, kept for the one error that is shown.

    librdkafka repeats each failed attempt on stderr, and the request itself only times out.
    `option` is the command's option that gave the address, where that is not the settings.
    """

    def __init__(self, kafka: Mapping[str, Any], *, option: str = "") -> None:
        self._bootstrap = kafka["bootstrap.servers"]
        self._option = option
        self._first = ""
        self._remedy = ""

    def client(self, make: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
        """Make a client that keeps quiet. An unknown property or bad value is a `ClusterError`."""
        try:
            return make({**settings, "error_cb": self._note}, logger=_quiet_logger())
        except KafkaException as problem:
            said = problem.args[0].str()
            remedy = "Below `kafka.` stand properties of librdkafka: correct this one or remove it."
            if KEY_NOT_READ in said:
                remedy = (
                    "The file is there, so its key is locked by another password: correct "
                    "kafka.ssl.key.password; or it is no key in PEM."
                )
            raise ClusterError(f"kafka: {said}. {remedy}") from None

    def explained(self, error: KafkaError, doing: str) -> ClusterError:
        """Turn a client's error into one for the operator. `doing`: what was refused."""
        if error.code() in UNREACHABLE:
            said = (
                f"{self._option or 'kafka.bootstrap.servers'} is {self._bootstrap!r}: no broker "
                f"there can be used ({self._first or error.str()})."
            )
            if self._remedy and not self._option:
                return ClusterError(f"{said} {self._remedy}.")
            kind = ClusterError if self._remedy else UnreachableError
            return kind(f"{said} Start Kafka, or correct the address{self._where_to()}.")
        if error.code() in UNAUTHORISED:
            return ClusterError(
                f"Kafka at {self._bootstrap!r} does not allow us to {doing} ({error.str()}): give "
                "the user of kafka.sasl.username, or of the client certificate, "
                f"{_operation(doing)} on it (kafka-acls.sh --add)."
            )
        return ClusterError(f"Kafka at {self._bootstrap!r} refused to {doing}: {error.str()}")

    def _where_to(self) -> str:
        if self._option:
            return "; a listener that asks for TLS or a password cannot be used here"
        return (
            " with --set kafka.bootstrap.servers=host:port; if it is right, look at "
            "kafka.security.protocol and the kafka.sasl.* and kafka.ssl.* settings"
        )

    def _note(self, error: KafkaError) -> None:
        if not self._first and error.code() != ALL_BROKERS_DOWN:
            self._first = error.str()
            self._remedy = remedy_at_the_door(error)


def _operation(doing: str) -> str:
    """Return Kafka's name of what one must be allowed to do."""
    if doing.startswith("describe the configuration"):
        return "DescribeConfigs"
    return doing.partition(" ")[0].capitalize()


def read_cluster(kafka: Mapping[str, Any]) -> ClusterFacts:
    """Read the cluster's facts with a client of its own. Raises ClusterError."""
    return Cluster(kafka).facts()


def describe(kafka: Mapping[str, Any], names: Iterable[str]) -> dict[str, TopicFacts]:
    """Read topics' facts with a client of its own, without those missing. Raises ClusterError."""
    return Cluster(kafka).describe(names)


def _topic_facts(description: Any, config: Mapping[str, Any]) -> TopicFacts:
    partitions = description.partitions
    return TopicFacts(
        name=description.name,
        topic_id=str(description.topic_id),
        partitions=len(partitions),
        replication_factor=len(partitions[0].replicas),
        cleanup_policy=config["cleanup.policy"].value,
        timestamp_type=config["message.timestamp.type"].value,
        retention_ms=int(config["retention.ms"].value),
        retention_bytes=int(config["retention.bytes"].value),
        max_message_bytes=int(config["max.message.bytes"].value),
    )


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("tailstream.librdkafka.quiet")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
