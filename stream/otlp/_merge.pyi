from collections.abc import Sequence

from stream.otlp.stamp import Stamp

def merge(
    bodies: Sequence[bytes], stamp: Stamp, attributes: bytes, limit: int, seen: bytes
) -> tuple[list[bytes], int, int, bytes] | None: ...
