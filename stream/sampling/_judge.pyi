from collections.abc import Callable

from stream.sampling.policies.boundaries import Boundaries
from stream.sampling.policies.evaluate import Judgement
from stream.sampling.policies.policy import TraceSummary

class Judge:
    def __init__(self, boundaries: Boundaries, body_bytes_max: int) -> None: ...
    def judge(
        self, trace: TraceSummary, body_bytes: int, ask: Callable[..., Judgement]
    ) -> Judgement: ...
