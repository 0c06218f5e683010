"""The map below `kafka.`: librdkafka's names, but for those that belong to Tailstream."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import PlainSerializer, PlainValidator

from stream.kafka.refused_values import refused_value
from stream.settings.errors import Problem, nearest
from stream.settings.fields import problems_error
from stream.settings.librdkafka import LIBRDKAFKA_NAMES

KAFKA_DEFAULTS: Final = {
    "bootstrap.servers": "localhost:9092",
    "security.protocol": "PLAINTEXT",
}

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
"""What `security.protocol` may be, in either case, as librdkafka takes it."""

_PORT_MAX: Final = 65_535

_GROUP: Final = "the worker joins as a classic cooperative-sticky member"
_COMMITS: Final = "remove it: offsets are committed with the output, every worker.commit_interval"
_ALL_REPLICAS: Final = "remove it: every record is acknowledged by all replicas in sync"

OWNED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "acks": _ALL_REPLICAS,
        "auto.commit.enable": _COMMITS,
        "auto.commit.interval.ms": _COMMITS,
        "auto.offset.reset": "set worker.initial_offset, which holds at the first start only",
        "compression.codec": "set output.compression",
        "compression.type": "set output.compression",
        "delivery.report.only.error": "remove it: the worker needs every delivery's report",
        "enable.auto.commit": _COMMITS,
        "enable.auto.offset.store": _COMMITS,
        "enable.idempotence": "remove it: the producer is idempotent, see worker.delivery",
        "enable.partition.eof": "remove it: the end of a partition is known by its watermark",
        "group.id": "set worker.group",
        "group.instance.id": "set worker.instance_id and worker.static_membership",
        "group.protocol.type": f"remove it: {_GROUP}",
        "isolation.level": "remove it: the worker always reads read_committed",
        "max.poll.records": "remove it: it is the Java client's; queued.min.messages is near",
        "metadata.broker.list": "set kafka.bootstrap.servers",
        "offset.store.method": _COMMITS,
        "offset.store.path": _COMMITS,
        "offset.store.sync.interval.ms": _COMMITS,
        "partition.assignment.strategy": f"remove it: {_GROUP}",
        "partitioner": "set topics.partitioner",
        "request.required.acks": _ALL_REPLICAS,
        "sasl.jaas.config": "it is the Java client's: set kafka.sasl.username and .password",
        "session.timeout.ms": "set worker.session_timeout",
        "ssl.truststore.location": "it is the Java client's: set kafka.ssl.ca.location",
        "transaction.timeout.ms": "set worker.transaction_timeout",
        "transactional.id": "remove it: it is made of worker.group and worker.instance_id",
    }
)
"""librdkafka names that the operator does not set, and what does the job instead."""


def _kafka_map(given: Any) -> Mapping[str, Any]:
    """Return the defaults with the given map on top, read-only, each value checked."""
    problems = list(_problems(given))
    if problems:
        raise problems_error(problems)
    texts = {name: str(value) if isinstance(value, str) else value for name, value in given.items()}
    return MappingProxyType({**KAFKA_DEFAULTS, **texts})


def _problems(given: Any) -> Iterator[Problem]:
    if not isinstance(given, Mapping):
        wrong = "must be a map of librdkafka names"
        yield Problem("", given, wrong, "write e.g. kafka: {bootstrap.servers: localhost:9092}")
        return
    for name, value in given.items():
        if name in OWNED:
            yield Problem(str(name), value, "not yours to set here", OWNED[name])
        elif name not in LIBRDKAFKA_NAMES:
            yield _unknown(str(name), value)
        elif not isinstance(value, (str, int, float)) or value == "":
            wrong = "empty" if value in (None, "") else "must be text, a number, true or false"
            is_list = isinstance(value, list) and value
            as_one = " as one text, with commas between" if is_list else ""
            yield Problem(name, value, wrong, f"write its value{as_one}, or remove it")
        elif name == "security.protocol" and str(value).upper() not in PROTOCOLS:
            yield Problem(name, value, "no such choice", f"write one of {', '.join(PROTOCOLS)}")
        elif name == "bootstrap.servers" and (wrong := _no_addresses(str(value))):
            yield Problem(name, value, wrong, "write host:port, several with commas between")
        elif name != "group.protocol" and (said := refused_value(name, value)):
            yield _refused(name, value, said)


def _no_addresses(text: str) -> str:
    """Return what is wrong with the addresses of brokers, empty if nothing is."""
    addresses = [address.strip() for address in text.split(",") if address.strip()]
    for address in addresses:
        protocol, scheme, rest = address.rpartition("://")
        if scheme and protocol.upper() not in PROTOCOLS:
            return f"{protocol}:// is not Kafka's"
        if "@" in rest:
            return "has a user or password in it, which belong in kafka.sasl.*"
        host, colon, port = rest.rpartition(":")
        if colon and not rest.endswith("]") and not (host and port.isdecimal()):
            return f"{(port or rest)!r} is no port" if host else f"{rest!r} has no host"
        if colon and port.isdecimal() and not 0 < int(port) <= _PORT_MAX:
            return f"there is no port {port}"
    return "" if addresses else "no address is in it"


def _refused(name: str, value: Any, said: str) -> Problem:
    if found := re.search(r"outside allowed range (\S+?)\.\.(\S+)", said):
        low, high = found.groups()
        wrong, remedy = f"outside librdkafka's range {low} to {high}", "write a number within it"
        if isinstance(value, str) and not value.isdecimal():
            remedy = "write a number within it, without a unit"
    elif "Expected bool" in said:
        wrong, remedy = "must be true or false", "write true or false"
    elif "Invalid value for" in said:
        wrong, remedy = "must be a number", "write a number, without a unit"
    else:
        wrong = "librdkafka does not take it"
        remedy = "see librdkafka's CONFIGURATION.md for its values, or remove it"
    return Problem(name, value, wrong, remedy)


def _unknown(name: str, value: Any) -> Problem:
    near = nearest(name, LIBRDKAFKA_NAMES)
    remedy = (
        f"did you mean kafka.{near}?" if near else "see librdkafka's CONFIGURATION.md for its names"
    )
    return Problem(name, value, "librdkafka has no such setting", remedy)


KafkaMap = Annotated[
    Mapping[str, str | int | float | bool], PlainValidator(_kafka_map), PlainSerializer(dict)
]
"""librdkafka's names and their values; `bootstrap.servers` is always there."""
