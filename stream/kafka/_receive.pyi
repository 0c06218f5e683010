from collections.abc import Collection, Iterable, Mapping
from typing import Any

from stream.kafka.partitioner import Partitioner
from stream.otlp._scan import Scanner
from stream.sampling._rows import Rows
from stream.sampling.record import Headers

class Received:
    partition: int
    rows: Rows
    log_append_time: bool
    size: int
    mismatched: int
    misrouted: int
    no_spans: int
    odd: list[tuple[int, int, int, bytes | None, bytes | None, Headers]]

def knows(partitioner: Partitioner) -> bool: ...
def receive(
    messages: Iterable[Any],
    epochs: dict[int, int],
    errors: list[Any],
    scanner: Scanner,
    partitioner: Partitioner,
    partitions: int,
    hashed_bytes_max: int,
    copied: Collection[str],
    poison: Mapping[int, frozenset[int]],
) -> list[Received]: ...
