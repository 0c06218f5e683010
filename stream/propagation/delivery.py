"""How an exporter's records are sent: every limit with its default, and what reaching it does."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

PARTITIONERS: Final[Mapping[str, str]] = MappingProxyType(
    {"fnv1a": "fnv1a_random", "murmur2": "murmur2_random"}
)
"""What `topics.partitioner` of the worker may name -> librdkafka's `partitioner` that agrees."""

COMPRESSIONS: Final = ("none", "gzip", "snappy", "lz4", "zstd")

RECORD_OVERHEAD_BYTES: Final = 256
"""More than a batch's header (61 bytes) and one record's lengths and offsets come to."""

DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        # A retry neither doubles a record nor changes the order.
        "enable.idempotence": True,
        "linger.ms": 5,
        # What the client says comes through `error_cb` and the delivery reports.
        "log_level": 0,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How records are sent. Whatever is dropped is counted under the reason in brackets.

    Attributes:
        compression: One of `COMPRESSIONS`.
        message_bytes_max: The topic's `max.message.bytes`, or less. Larger groups of spans are
            split; a single span that does not fit is dropped [too_large].
        buffer_bytes_max: What may wait for the broker, before compression.
        buffer_records_max: How many records may.
        buffer_full_wait_s: How long one call of `export` waits, in all, for room in the buffer;
            what then finds none is dropped [buffer_full].
        delivery_timeout_s: How long a record is tried, through whatever outage, before it is
            dropped [timed_out]. An outage that is shorter, and fits the buffer, loses nothing.
        shutdown_wait_s: How long the end of the application waits for the broker at most; what is
            not acknowledged by then is dropped [shutdown].
    """

    compression: str = "lz4"
    message_bytes_max: int = 1_000_000
    buffer_bytes_max: int = 64 << 20
    buffer_records_max: int = 100_000
    buffer_full_wait_s: float = 1.0
    delivery_timeout_s: float = 300.0
    shutdown_wait_s: float = 10.0

    @property
    def value_bytes_max(self) -> int:
        """The largest value that fits, with its key, in a message of `message_bytes_max`."""
        return self.message_bytes_max - RECORD_OVERHEAD_BYTES

    def settings(self, kafka: Mapping[str, Any], *, partitioner: str) -> dict[str, Any]:
        """Return librdkafka's settings: what is ours to say, over what the operator gave.

        Raises:
            ValueError: a setting that is missing, not known, or given twice.
        """
        if partitioner not in PARTITIONERS:
            known = ", ".join(PARTITIONERS)
            raise ValueError(f"partitioner: {partitioner!r}: use one of {known}, as the worker")
        if self.compression not in COMPRESSIONS:
            known = ", ".join(COMPRESSIONS)
            raise ValueError(f"compression: {self.compression!r}: use one of {known}")
        if not kafka.get("bootstrap.servers"):
            raise ValueError("kafka: bootstrap.servers is missing: give host:port of the brokers")
        ours = {
            "partitioner": PARTITIONERS[partitioner],
            "compression.type": self.compression,
            "message.max.bytes": self.message_bytes_max,
            "queue.buffering.max.kbytes": -(-self.buffer_bytes_max // 1024),
            "queue.buffering.max.messages": self.buffer_records_max,
            "message.timeout.ms": round(self.delivery_timeout_s * 1000),
        }
        twice = sorted(ours.keys() & kafka.keys())
        if twice:
            raise ValueError(f"kafka: {', '.join(twice)}: the exporter's own arguments set these")
        # A broker measures whole batches, so none may be larger than one record may be.
        batch_bytes = {"batch.size": min(self.message_bytes_max, 1_000_000)}
        return {**DEFAULTS, **batch_bytes, **kafka, **ours}
