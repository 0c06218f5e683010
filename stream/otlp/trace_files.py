"""OTLP messages in files, as the Collector's file exporter writes them.

`format: json` is one message a line; `format: proto` puts 4 bytes before each message, its length,
big endian (contrib, exporter/fileexporter/README.md). A file may also be one bare protobuf message,
or JSON over several lines, as people and `jq` write it.
"""

import json
import re
from collections.abc import Iterator

from stream.otlp.wire import Malformed

LENGTH_BYTES = 4
RESOURCE_SPANS = b"\x0a"
BLANKS = re.compile(r"\s*")


def messages(content: bytes) -> Iterator[bytes]:
    """Yield the messages of a file's content, each OTLP/JSON or protobuf.

    Which format it is shows in the first byte: a brace opens JSON, the tag of `resource_spans` a
    bare message; anything else must be a length (one that begins like that tag is above 160 MB).

    Raises:
        Malformed: a length leads beyond the end, or JSON over several lines does not end: the file
            is cut short, or none of these.
    """
    if content.lstrip()[:1] == b"{":
        lines = [line for line in content.splitlines() if line.strip()]
        yield from lines if _one_a_line(lines) else _documents(content)
    elif content[:1] == RESOURCE_SPANS:
        yield content
    else:
        yield from _prefixed(content)


def _one_a_line(lines: list[bytes]) -> bool:
    """Return whether each line is a message; a bad one among them is the reader's to tell."""
    if all(line.startswith(b"{") for line in lines):
        return True
    try:
        json.loads(lines[0])
    except (ValueError, RecursionError):
        return False
    return True


def _documents(content: bytes) -> Iterator[bytes]:
    """Yield JSON documents, one after the other, however many lines each takes."""
    decoder = json.JSONDecoder()
    try:
        text = content.decode()
        start = _after_blanks(text, 0)
        while start < len(text):
            _, end = decoder.raw_decode(text, start)
            yield text[start:end].encode()
            start = _after_blanks(text, end)
    except UnicodeDecodeError as problem:
        raise Malformed(f"not UTF-8 at byte {problem.start}") from None
    except json.JSONDecodeError as problem:
        raise Malformed(f"no JSON at line {problem.lineno}: {problem.msg}") from None
    except RecursionError:
        raise Malformed("JSON that is nested too deep") from None


def _after_blanks(text: str, position: int) -> int:
    found = BLANKS.match(text, position)
    assert found is not None, "no blanks are blanks, too"
    return found.end()


def _prefixed(content: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(content):
        start = position + LENGTH_BYTES
        position = start + int.from_bytes(content[start - LENGTH_BYTES : start])
        if start > len(content) or position > len(content):
            at = start - LENGTH_BYTES
            raise Malformed(f"no OTLP message at byte {at}: cut short, or not an OTLP file")
        yield content[start:position]
