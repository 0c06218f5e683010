"""A decision record with a default in every field: a test names what matters to it."""

from dataclasses import replace
from typing import Any, Final

from stream.sampling.decision import Clock, Decision, Trigger, Verdict
from stream.testing.spans import trace_id_of

TIME_MS: Final = 1_750_000_000_000
A_DECISION: Final = Decision(
    trace_id=trace_id_of(1),
    verdict=Verdict.SAMPLED,
    policy="errors",
    trigger=Trigger.DECISION_WAIT,
    threshold=0,
    spans=3,
    errors=0,
    duration_us=70_000,
    complete=True,
    time_ms=TIME_MS,
    clock=Clock.LOG,
    upto=5,
    offsets=[4],
)
"""A trace of three spans that `errors` kept."""


def a_decision(**changed: Any) -> Decision:
    """Return that decision with these fields changed."""
    return replace(A_DECISION, **changed)


def a_drop(**changed: Any) -> Decision:
    """Return the decision of a trace that nothing kept, with these fields changed."""
    return a_decision(**{"verdict": Verdict.NOT_SAMPLED, "policy": "", **changed})
