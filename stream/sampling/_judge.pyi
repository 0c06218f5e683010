from collections.abc import Callable
from typing import TypeVar

from stream.sampling.policies.boundaries import Boundaries
from stream.sampling.policies.policy import TraceSummary

_Said = TypeVar("_Said")

class Judge:
    def __init__(self, boundaries: Boundaries, body_bytes_max: int) -> None: ...
    def judge(self, trace: TraceSummary, body_bytes: int, ask: Callable[..., _Said]) -> _Said: ...
