from collections.abc import Sequence

from stream.sampling.stores import KnownDecision
from stream.state.generations import Generations

def put_bodies(
    buckets: dict[int, dict[tuple[bytes, int], bytes]],
    bodies: list[tuple[bytes, int, bytes]],
    bucket_offsets: int,
) -> int: ...
def delete_bodies(
    buckets: dict[int, dict[tuple[bytes, int], bytes]],
    trace_id: bytes,
    offsets: list[int],
    bucket_offsets: int,
) -> tuple[int, int]: ...
def find_decision(
    known_by_number: dict[int, dict[bytes, KnownDecision]], trace_id: bytes
) -> KnownDecision | None: ...
def put_decisions(
    generations: Generations,
    known_by_number: dict[int, dict[bytes, KnownDecision]],
    decisions: Sequence[tuple[bytes, KnownDecision]],
    overhead_bytes: int,
) -> None: ...
