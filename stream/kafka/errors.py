"""Which of the client's errors are an operator's to mend."""

from confluent_kafka import KafkaError, KafkaException

__all__ = ["KafkaException", "is_fenced", "is_operators_fault"]

_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's public code
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.UNRELEASED_INSTANCE_ID,
    }
)

_OPERATORS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's public code
    }
)


def is_fenced(problem: KafkaException) -> bool:
    """Return whether another worker has our place."""
    return problem.args[0].code() in _FENCED


def is_operators_fault(problem: KafkaException) -> bool:
    """Return whether retrying cannot help until somebody grants or configures something."""
    return problem.args[0].code() in _OPERATORS
