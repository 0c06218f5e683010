"""What the client's settings below `kafka.` demand of each other and of the worker's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from stream.settings.errors import ABSENT, Problem

if TYPE_CHECKING:
    from stream.settings.model import Settings

_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
"""What the client library that comes with the package can do (GSSAPI takes one of one's own)."""


def client_checks(settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong between settings of the client that are each right alone."""
    yield from _kafka_times(settings)
    yield from _group_protocol(settings)
    yield from _security(settings)
    yield from _login(settings)


def whole(value: Any) -> int | None:
    """Return a librdkafka number, None if it is not given or none (librdkafka then says so)."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _group_protocol(settings: Settings) -> Iterator[Problem]:
    protocol = settings.kafka.get("group.protocol", "classic")
    if protocol not in ("classic", "consumer"):
        remedy = "write classic, or consumer (KIP-848, brokers from 4.0)"
        yield Problem("kafka.group.protocol", protocol, "no such protocol", remedy)
    if protocol == "consumer" and settings.worker.static_membership:
        yield Problem(
            "worker.static_membership",
            True,
            "with kafka.group.protocol consumer a restart after kill -9 would be refused until "
            "the session ends",
            "set it to false, or remove kafka.group.protocol",
        )
    if protocol == "classic" and "group.remote.assignor" in settings.kafka:
        assignor = settings.kafka["group.remote.assignor"]
        remedy = "set kafka.group.protocol to consumer, or remove it"
        yield Problem("kafka.group.remote.assignor", assignor, "only KIP-848 has one", remedy)


def _kafka_times(settings: Settings) -> Iterator[Problem]:
    session_ms = round(settings.worker.session_timeout_s * 1000)
    poll_ms = whole(settings.kafka.get("max.poll.interval.ms"))
    if poll_ms is not None and poll_ms < session_ms:
        wrong = f"shorter than worker.session_timeout ({session_ms} ms)"
        yield Problem("kafka.max.poll.interval.ms", poll_ms, wrong, "raise it, or remove it")
    heartbeat_ms = whole(settings.kafka.get("heartbeat.interval.ms"))
    if heartbeat_ms is not None and heartbeat_ms * 3 > session_ms:
        wrong = f"more than a third of worker.session_timeout ({session_ms} ms)"
        yield Problem("kafka.heartbeat.interval.ms", heartbeat_ms, wrong, "lower it, or remove it")


def _security(settings: Settings) -> Iterator[Problem]:
    """Credentials that the protocol would not use mean that the protocol was forgotten."""
    protocol = str(settings.kafka["security.protocol"])
    for prefix, word, choices in (
        ("sasl.", "SASL", "SASL_SSL or SASL_PLAINTEXT"),
        ("ssl.", "SSL", "SSL or SASL_SSL"),
    ):
        given = sorted(name for name in settings.kafka if name.startswith(prefix))
        if given and word not in protocol.upper().split("_"):
            wrong = f"does not use kafka.{given[0]}"
            remedy = f"set it to {choices}, or remove the kafka.{prefix}* settings"
            yield Problem("kafka.security.protocol", protocol, wrong, remedy)


def _login(settings: Settings) -> Iterator[Problem]:
    """Without a mechanism librdkafka takes GSSAPI, which few builds of it can do."""
    kafka, protocol = settings.kafka, str(settings.kafka["security.protocol"])
    if not protocol.upper().startswith("SASL_") or any("kerberos" in name for name in kafka):
        return
    given = kafka.get("sasl.mechanism", kafka.get("sasl.mechanisms"))
    if given is None:
        wrong = f"missing: kafka.security.protocol is {protocol}"
        yield Problem("kafka.sasl.mechanism", ABSENT, wrong, _one_of_the_mechanisms())
    elif str(given) not in (*_MECHANISMS, "GSSAPI"):
        yield Problem("kafka.sasl.mechanism", given, "no such choice", _one_of_the_mechanisms())
    elif str(given).startswith(("PLAIN", "SCRAM")):
        for name in ("sasl.username", "sasl.password"):
            if name not in kafka:
                wrong, remedy = f"missing: {given} needs it", f"write kafka.{name}"
                yield Problem(f"kafka.{name}", ABSENT, wrong, remedy)


def _one_of_the_mechanisms() -> str:
    return f"write one of {', '.join(_MECHANISMS)}"
