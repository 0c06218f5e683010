from collections.abc import Sequence

from stream.sampling.accounting import Accounts
from stream.sampling.decision import Decision
from stream.sampling.delivery import Settled
from stream.sampling.stores import KnownDecision, SpanStore

def settle(
    settled: Sequence[Settled],
    accounts: Accounts,
    spans: SpanStore,
    uncommitted: dict[bytes, Decision],
) -> tuple[list[tuple[bytes, KnownDecision]], list[tuple[bytes, KnownDecision]]]: ...
