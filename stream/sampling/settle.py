"""What is left of deliveries once their transaction has committed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stream import compiled
from stream.sampling.accounting import Accounts
from stream.sampling.decision import PROMOTIONS, Decision, Verdict
from stream.sampling.delivery import DeadLetter, Settled
from stream.sampling.stores import KnownDecision, SpanStore

Known = list[tuple[bytes, KnownDecision]]

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling import _settle as in_c


def settle(
    settled: Sequence[Settled],
    accounts: Accounts,
    spans: SpanStore,
    uncommitted: dict[bytes, Decision],
) -> tuple[Known, Known]:
    """Count, forget the bodies and what is not uncommitted any more; return what to remember.

    Apart, the later records of dropped traces: these tell of their own offsets alone.
    """
    if compiled.RUNS:
        return in_c.settle(settled, accounts, spans, uncommitted)
    decided: Known = []
    late_dropped: Known = []
    for one in settled:
        delivered = one.delivered
        if isinstance(delivered, DeadLetter):
            accounts.dead_lettered += delivered.bad.spans
            continue
        accounts.count(delivered, one)
        decision = delivered.decision
        if decision.verdict is Verdict.PENDING:
            continue
        if decision.verdict is Verdict.SAMPLED and decision.trigger not in PROMOTIONS:
            spans.delete(decision.trace_id, decision.offsets)
        if not delivered.late:
            del uncommitted[decision.trace_id]
        known = KnownDecision.of(decision)
        known.span_ids, known.span_ids_complete = one.span_ids, one.span_ids_complete
        if delivered.late and decision.verdict is Verdict.NOT_SAMPLED:
            late_dropped.append((decision.trace_id, known))
        else:
            decided.append((decision.trace_id, known))
    return decided, late_dropped
