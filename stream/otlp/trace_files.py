"""OTLP messages in files, as the Collector's file exporter writes them.

`format: json` is one message a line; `format: proto` puts 4 bytes before each message, its length,
big endian (contrib, exporter/fileexporter/README.md). A file may also be one bare protobuf message.
"""

from collections.abc import Iterator

from stream.otlp.wire import Malformed

LENGTH_BYTES = 4
RESOURCE_SPANS = b"\x0a"


def messages(content: bytes) -> Iterator[bytes]:
    """Yield the messages of a file's content, each OTLP/JSON or protobuf.

    Which format it is shows in the first byte: a brace opens JSON, the tag of `resource_spans` a
    bare message; anything else must be a length (one that begins like that tag is above 160 MB).

    Raises:
        Malformed: a length leads beyond the end: the file is cut short, or none of these.
    """
    if content.lstrip()[:1] == b"{":
        yield from (line for line in content.splitlines() if line.strip())
    elif content[:1] == RESOURCE_SPANS:
        yield content
    else:
        yield from _prefixed(content)


def _prefixed(content: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(content):
        start = position + LENGTH_BYTES
        position = start + int.from_bytes(content[start - LENGTH_BYTES : start])
        if start > len(content) or position > len(content):
            at = start - LENGTH_BYTES
            raise Malformed(f"no OTLP message at byte {at}: cut short, or not an OTLP file")
        yield content[start:position]
