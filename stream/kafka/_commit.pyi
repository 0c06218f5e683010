from collections.abc import Callable
from typing import Any

from stream.kafka import commit

class Produce: ...

def produce_all(
    produce: Callable[..., Any],
    records: list[commit.Produce],
    last: commit.Produce | None,
    produce_odd: Callable[[commit.Produce], None],
) -> None: ...
