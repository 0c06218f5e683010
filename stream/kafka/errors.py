"""What the client's errors mean for the worker."""

from typing import Any

from confluent_kafka import KafkaError, KafkaException

__all__ = [
    "GRANT",
    "ClientEndedError",
    "KafkaException",
    "is_bad_compression",
    "is_bad_setting",
    "is_end_of_partition",
    "is_fenced",
    "is_given_up",
    "is_group_refused",
    "is_message_fault",
    "is_operators_fault",
    "is_out_of_range",
    "is_passing",
    "is_unknown_partition",
    "is_unknown_topic",
    "is_unreachable",
    "needed_permission",
    "not_readable",
]


class ClientEndedError(Exception):
    """A client can never go on, and its log is all that says why."""


GRANT = "grant it to the principal of this command with kafka-acls.sh --add"

# Public codes of librdkafka's own; their names begin with an underscore all the same.
_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - see above
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.UNRELEASED_INSTANCE_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)

_OPERATORS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        # A clock that is off, or a topic's message.timestamp.*: it would be so for every record.
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - see above
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - see above
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - see above
    }
)

_PERMISSIONS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: ("topic", "Write"),
    KafkaError.GROUP_AUTHORIZATION_FAILED: ("group", "Read"),
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: ("transactional id", "Write and Describe"),
}

# The fault of one record, not of the broker: smaller transactions find the culprit.
MESSAGE_FAULTS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
    }
)

_UNREACHABLE = frozenset(
    {
        KafkaError._TIMED_OUT,  # noqa: SLF001 - see above
        KafkaError._TRANSPORT,  # noqa: SLF001 - see above
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - see above
        KafkaError._RESOLVE,  # noqa: SLF001 - see above
        # A request that waited for a connection which was then given up.
        KafkaError._DESTROY_BROKER,  # noqa: SLF001 - see above
        KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001 - see above
    }
)

_PASSING = _UNREACHABLE | frozenset(
    {
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._WAIT_COORD,  # noqa: SLF001 - see above
        KafkaError._WAIT_CACHE,  # noqa: SLF001 - see above
        KafkaError._UNKNOWN_BROKER,  # noqa: SLF001 - see above
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - see above
    }
)


def is_fenced(error: Any) -> bool:
    """Return whether another worker has our place."""
    return error.code() in _FENCED


def is_operators_fault(error: Any) -> bool:
    """Return whether retrying cannot help until somebody grants or configures something."""
    return error.code() in _OPERATORS


def needed_permission(error: Any) -> tuple[str, str]:
    """Return the kind of resource, and what a producer lacks on it; empty for other errors."""
    return _PERMISSIONS.get(error.code(), ("", ""))


def is_group_refused(error: Any) -> bool:
    """Return whether a group may not be used.

    librdkafka looks for the coordinator of whatever `group.id` a consumer has. For a reader that
    joins no group and commits nothing this is no error: its principal needs no group.
    """
    return bool(error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED)


def not_readable(error: Any, topic: str) -> KafkaException:
    """Return the error with the topic's name, and what a reader lacks on it."""
    denied = error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    needs = " (Read is needed)" if denied else ""
    return KafkaException(KafkaError(error.code(), f"topic {topic!r}: {error.str()}{needs}"))


def is_message_fault(error: Any) -> bool:
    """Return whether one of the records was refused for what it is."""
    return error.code() in MESSAGE_FAULTS


def is_given_up(error: Any) -> bool:
    """Return whether the client gave a record up for a reason that it tells elsewhere."""
    return error.code() in (
        KafkaError._PURGE_QUEUE,  # noqa: SLF001 - see above
        KafkaError._PURGE_INFLIGHT,  # noqa: SLF001 - see above
        KafkaError._FATAL,  # noqa: SLF001 - see above
    )


def is_unreachable(error: Any) -> bool:
    """Return whether the broker did not answer."""
    return error.code() in _UNREACHABLE


def is_bad_setting(error: Any) -> bool:
    """Return whether a client cannot even be made of these settings."""
    return bool(error.code() == KafkaError._INVALID_ARG)  # noqa: SLF001 - see above


def is_passing(error: Any) -> bool:
    """Return whether asking again later may help."""
    return error.code() in _PASSING


def is_unknown_partition(error: Any) -> bool:
    """Return whether the client does not know the partition, or not yet."""
    return bool(error.code() == KafkaError._UNKNOWN_PARTITION)  # noqa: SLF001 - see above


def is_unknown_topic(error: Any) -> bool:
    """Return whether the broker does not know the topic or the partition, or not yet."""
    return bool(error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART)


def is_out_of_range(error: Any) -> bool:
    """Return whether the log does not hold the offset any more."""
    return error.code() in (
        KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001 - see above
        KafkaError.OFFSET_OUT_OF_RANGE,
    )


def is_bad_compression(error: Any) -> bool:
    """Return whether a batch could not be unpacked; a small one may be huge inside."""
    return bool(error.code() == KafkaError._BAD_COMPRESSION)  # noqa: SLF001 - see above


def is_end_of_partition(error: Any) -> bool:
    """Return whether it is no error: the partition has been read to its end."""
    return bool(error.code() == KafkaError._PARTITION_EOF)  # noqa: SLF001 - see above
