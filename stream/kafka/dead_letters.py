"""The shape of a dead letter: the bytes as they came, and headers that say why and from where."""

from stream.kafka.commit import Headers, Produce

KEY_BYTES_MAX = 1_024

RECORD_OVERHEAD_BYTES = 2_048
"""What key, headers and framing take beside a dead letter's bytes, at most."""


def dead_letter(
    topic: str,
    reason: str,
    origin: tuple[str, int, int],
    *,
    key: bytes | None,
    body: bytes,
    bytes_max: int,
    more: Headers | None = None,
) -> Produce:
    """Return the record for the topic of dead letters.

    `origin` is the (topic, partition, offset) where the whole record can still be read. The body is
    cut to `bytes_max`; a key of more than 1 KiB is no key of a span's and is left out.
    """
    source, partition, offset = origin
    headers: Headers = [
        ("tailstream.reason", reason.encode()),
        ("tailstream.topic", source.encode()),
        ("tailstream.partition", str(partition).encode()),
        ("tailstream.offset", str(offset).encode()),
        ("tailstream.truncated", b"true" if len(body) > bytes_max else b"false"),
        *(more or ()),
    ]
    return Produce(
        topic, None, key if len(key or b"") <= KEY_BYTES_MAX else None, body[:bytes_max], headers
    )
