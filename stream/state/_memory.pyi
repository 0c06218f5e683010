from collections.abc import Sequence

from stream.sampling.stores import KnownDecision
from stream.state.generations import Generations

def find_decision(
    known_by_number: dict[int, dict[bytes, KnownDecision]], trace_id: bytes
) -> KnownDecision | None: ...
def put_decisions(
    generations: Generations,
    known_by_number: dict[int, dict[bytes, KnownDecision]],
    decisions: Sequence[tuple[bytes, KnownDecision]],
    overhead_bytes: int,
) -> None: ...
