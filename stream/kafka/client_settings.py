"""librdkafka's settings for our clients: what is ours to decide, on top of what the operator gave.

The sources of the values are the measurements in `stream/RATIONALE.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MESSAGE_BYTES_DEFAULT = 1_000_000
"""librdkafka's default of `message.max.bytes`."""

FETCH_BYTES_MIN = 1 << 20
"""librdkafka takes no less for `fetch.max.bytes` than its `message.max.bytes`."""

FETCH_BYTES_AT_LEAST = 256 << 10
"""What the broker waits for before it answers, `fetch.min.bytes`; not for long."""

CONNECTION_PREFIXES = (
    "bootstrap.",
    "security.",
    "sasl.",
    "ssl.",
    "https.",
    "enable.ssl",
    "enable.sasl",
    "client.",
    "socket.",
    "broker.",
    "reconnect.",
    "retry.backoff",
    "metadata.",
    "api.version",
    "log",
    "debug",
    "test.mock.",
    "connections.",
)


REJOIN_MS = 60_000
"""How long a rebalance waits for its members, `max.poll.interval.ms`: librdkafka says 300 s.

A member that ends while it joins cannot say so: its LeaveGroup waits behind its own JoinGroup. Then
the whole group waits for so long (seen after a broker's restart). We poll many times a second; a
scan that takes this long is ended as one that hangs.
"""


@dataclass(frozen=True, slots=True)
class Membership:
    """Who we are in the group. Times in seconds."""

    group: str
    instance_id: str
    static: bool
    session_timeout_s: float


def connection(kafka: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the operator's settings that every kind of client understands."""
    return {n: v for n, v in kafka.items() if n.startswith(CONNECTION_PREFIXES)}


def consumer_settings(
    kafka: Mapping[str, Any], member: Membership, *, fetched_bytes_max: int = 32 << 20
) -> dict[str, Any]:
    """Return the polling consumer's settings; the operator's tuning wins over our defaults.

    `fetched_bytes_max`: what librdkafka may fetch ahead, unpacked.
    """
    # It looks at its queue before it asks, so one answer may come on top, and unpacks to a multiple
    # of its size. A batch that is larger comes all the same.
    answer_bytes_max = max(FETCH_BYTES_MIN, fetched_bytes_max // 4)
    session_ms = round(member.session_timeout_s * 1000)
    settings: dict[str, Any] = {
        # An answer for every record that comes costs more than the record: as much, or a tenth of a
        # second.
        "fetch.min.bytes": FETCH_BYTES_AT_LEAST,
        "fetch.wait.max.ms": 100,
        "fetch.error.backoff.ms": 100,
        # librdkafka stops fetching for this long whenever its queue is full; its default is 1 s.
        "fetch.queue.backoff.ms": 5,
        "fetch.max.bytes": answer_bytes_max,
        "fetch.message.max.bytes": FETCH_BYTES_MIN,
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": max(1, fetched_bytes_max >> 10),
        "topic.metadata.refresh.interval.ms": 10_000,
        "max.poll.interval.ms": max(REJOIN_MS, session_ms),
        "client.id": f"tailstream-{member.instance_id}",
        **_for("consumer", kafka),
        "group.id": member.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": max(100, min(3_000, session_ms // 5)),
    }
    if member.static:
        settings["group.instance.id"] = member.instance_id
    if settings.get("group.protocol") == "consumer":
        # KIP-848: these are the broker's to set there, and librdkafka refuses them.
        for name in (
            "partition.assignment.strategy",
            "session.timeout.ms",
            "heartbeat.interval.ms",
        ):
            del settings[name]
    return settings


def producer_settings(
    kafka: Mapping[str, Any],
    member: Membership,
    *,
    compression: str,
    message_bytes_max: int = MESSAGE_BYTES_DEFAULT,
    transaction_timeout_s: float | None,
) -> dict[str, Any]:
    """Return the producer's settings; without a transaction timeout it is merely idempotent.

    `message_bytes_max`: the largest record that is to be sent; the client must not refuse it.
    """
    settings: dict[str, Any] = {
        "linger.ms": 5,
        "topic.metadata.refresh.interval.ms": 10_000,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": 500_000,
        "message.max.bytes": max(MESSAGE_BYTES_DEFAULT, message_bytes_max),
        "client.id": f"tailstream-{member.instance_id}",
        **_for("producer", kafka),
        "compression.type": compression,
        "enable.idempotence": True,
    }
    if transaction_timeout_s is not None:
        # One slot, one id: whoever restarts in it ends at once what its predecessor left open. No
        # instance id holds a colon, so no other group and slot make the same one.
        settings["transactional.id"] = f"{member.group}:{member.instance_id}"
        settings["transaction.timeout.ms"] = round(transaction_timeout_s * 1000)
    return settings


CONSUMER_PREFIXES = (
    "fetch.",
    "queued.",
    "check.crcs",
    "max.poll.",
    "client.rack",
    "heartbeat.",
    "group.",
)
PRODUCER_PREFIXES = (
    "linger.",
    "queue.buffering.",
    "batch.",
    "message.",
    "compression.level",
    "delivery.",
    "request.timeout",
    "retries",
    "max.in.flight",
    "sticky.",
)


def _for(kind: str, kafka: Mapping[str, Any]) -> dict[str, Any]:
    """Leave the other kind's settings out: librdkafka would warn of each at every start."""
    others = PRODUCER_PREFIXES if kind == "consumer" else CONSUMER_PREFIXES
    return {n: v for n, v in kafka.items() if not n.startswith(others)}
