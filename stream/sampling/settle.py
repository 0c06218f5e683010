"""What is left of deliveries once their transaction has committed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stream import compiled
from stream.sampling.accounting import Accounts
from stream.sampling.decision import Decision, Verdict
from stream.sampling.delivery import DeadLetter, Settled
from stream.sampling.stores import KnownDecision, SpanStore

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling import _settle as in_c


def settle(
    settled: Sequence[Settled],
    accounts: Accounts,
    spans: SpanStore,
    uncommitted: dict[bytes, Decision],
) -> list[tuple[bytes, KnownDecision]]:
    """Count, forget the bodies and what is not uncommitted any more; return what to remember."""
    if compiled.RUNS:
        return in_c.settle(settled, accounts, spans, uncommitted)
    decisions = []
    for one in settled:
        delivered = one.delivered
        if isinstance(delivered, DeadLetter):
            accounts.dead_lettered += delivered.bad.spans
            continue
        accounts.count(delivered, one)
        decision = delivered.decision
        if decision.verdict is Verdict.SAMPLED:
            spans.delete(decision.trace_id, decision.offsets)
        if not delivered.late:
            del uncommitted[decision.trace_id]
        known = KnownDecision(
            decision.verdict,
            decision.policy,
            decision.trigger,
            decision.threshold,
            decision.upto,
            decision.time_ms,
            one.span_ids,
            one.span_ids_complete,
        )
        decisions.append((decision.trace_id, known))
    return decisions
