"""Produces one record with bytes that no client library would send: Kafka's protocol by hand.

Produce request, version 3: https://kafka.apache.org/protocol#The_Messages_Produce. Record batch,
magic 2: https://kafka.apache.org/documentation/#recordbatch.
"""

from collections.abc import Sequence
from struct import pack, unpack_from

from tests.harness.topics import wait_for
from tests.harness.wire import ask

TIMEOUT_S = 60.0
PRODUCE, VERSION = 0, 3
UNKNOWN_TOPIC = 3


def produce_raw(
    bootstrap: str, topic: str, partition: int, value: bytes, headers: Sequence[tuple[bytes, bytes]]
) -> None:
    """Send it to the only broker there is, and wait for its acknowledgement."""
    batch = _batch(value, headers)
    name = topic.encode()
    body = pack(">hhi", -1, -1, 5_000)  # no transaction, all replicas
    body += pack(f">ih{len(name)}s", 1, len(name), name)
    body += pack(">iii", 1, partition, len(batch)) + batch
    request = pack(">hhih", PRODUCE, VERSION, 1, -1) + body

    def acknowledged() -> bool:
        answer = ask(bootstrap, request)
        # Correlation id, one topic and its name, one partition and its number: what became of it.
        (error,) = unpack_from(">h", answer, 4 + 4 + 2 + len(name) + 4 + 4)
        assert error in (0, UNKNOWN_TOPIC), f"the broker's error {error}"
        return bool(error == 0)

    # The controller answers for a new topic before the broker knows of it.
    wait_for("the broker knows the topic", acknowledged, timeout_s=TIMEOUT_S)


def _batch(value: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    content = b"\0" + _zigzag(0) + _zigzag(0) + _zigzag(-1) + _sized(value) + _zigzag(len(headers))
    content += b"".join(_sized(part) for header in headers for part in header)
    record = _sized(content)
    after_crc = pack(">hiqqqhii", 0, 0, 0, 0, -1, -1, -1, 1) + record
    counted = pack(">ibI", -1, 2, _crc32c(after_crc)) + after_crc
    return pack(">qi", 0, len(counted)) + counted


def _sized(content: bytes) -> bytes:
    return _zigzag(len(content)) + content


def _zigzag(number: int) -> bytes:
    value = number << 1 if number >= 0 else -number * 2 - 1
    encoded = b""
    while value > 0x7F:
        encoded += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return encoded + bytes((value,))


def _crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
