"""Tailstream / Latency: how long decisions and transactions take, with traces to look at."""

from typing import Final

from deploy.dashboards.model import (
    Dashboard,
    Kind,
    Panel,
    Query,
    Row,
    Unit,
    high_is_bad,
    stat,
)
from deploy.dashboards.selectors import FLEET, JOB, PARTITION, by_partition, quantile, rate

DELAY: Final = "tailstream_decision_delay_seconds"
TRANSACTION: Final = "tailstream_transaction_seconds"
RESTORE: Final = "tailstream_restore_seconds"
COMMITTED: Final = f'{FLEET}, outcome="committed"'
ABORTED: Final = f'{FLEET}, outcome="aborted"'
SHARES: Final = (0.5, 0.95, 0.99)


def _quantiles(histogram: str, *, by: str = FLEET) -> tuple[Query, ...]:
    """Return three lines; the exemplars are those of all buckets, so one query brings them."""
    return tuple(
        Query(
            quantile(share, histogram, by=by), f"p{share * 100:.0f}", exemplars=share == SHARES[-1]
        )
        for share in SHARES
    )


def _over_an_hour(share: float) -> Query:
    buckets = f"sum by (le) (increase({RESTORE}_bucket{{{FLEET}}}[1h]))"
    return Query(f"histogram_quantile({share}, {buckets})", f"p{share * 100:.0f}")


NOW: Final = Row(
    "Now",
    (
        stat(
            "Decision delay, p50",
            quantile(0.5, DELAY),
            Unit.SECONDS,
            "From a trace's deadline to the commit of its decision. About half of "
            "worker.commit_interval is as it should be.",
            steps=high_is_bad(2, 10),
        ),
        stat(
            "Decision delay, p99",
            quantile(0.99, DELAY),
            Unit.SECONDS,
            "One of a hundred decisions comes later than this after its deadline.",
            steps=high_is_bad(5, 30),
        ),
        stat(
            "Transaction, p99",
            quantile(0.99, TRANSACTION, by=COMMITTED),
            Unit.SECONDS,
            "One of a hundred committed transactions takes longer. At 80 % of "
            "worker.transaction_timeout the worker gives up and restarts.",
            steps=high_is_bad(1, 10),
        ),
        stat(
            "Transactions",
            rate(f"{TRANSACTION}_count", by=COMMITTED),
            Unit.PER_SECOND,
            "Committed transactions each second: at most one a worker and commit_interval, and "
            "more where one holds too much.",
        ),
        stat(
            "Aborted, 1 h",
            f"sum(increase({TRANSACTION}_count{{{ABORTED}}}[1h]))",
            Unit.NUMBER,
            "Transactions that were aborted and done again. A few come with every broker that "
            "restarts; nothing is lost or repeated by them.",
            steps=high_is_bad(1, 20),
            decimals=0,
        ),
        stat(
            "Oldest undecided",
            f"max(tailstream_oldest_undecided_seconds{{{FLEET}}})",
            Unit.SECONDS,
            "How long the oldest open trace is open, in the records' time. Never much above "
            "decision_wait.",
        ),
    ),
)

DECISIONS: Final = Row(
    "Decisions",
    (
        Panel(
            title="Decision delay",
            description="From a trace's deadline to the commit of its decision, on the wall clock. "
            "The dots are kept traces: click one to open it. Lag adds to the delay.",
            unit=Unit.SECONDS,
            queries=_quantiles(DELAY),
        ),
        Panel(
            title="Decision delay, how often",
            description="Decisions by their delay. The dots are kept traces: click one to open it.",
            unit=Unit.SECONDS,
            queries=(
                Query(
                    rate(f"{DELAY}_bucket", labels="le"),
                    "{{le}}",
                    exemplars=True,
                ),
            ),
            kind=Kind.HEATMAP,
        ),
        Panel(
            title="Oldest undecided trace",
            description="Time of the partition since its oldest open trace was opened. Far above "
            "the window: the partition gets no newer records and is not at its end, or its cuts "
            "wait for a restore.",
            unit=Unit.SECONDS,
            queries=(
                Query(by_partition("tailstream_oldest_undecided_seconds"), "{{partition}}"),
                Query(f"max(tailstream_decision_wait_seconds{{{FLEET}}})", "window"),
            ),
        ),
        Panel(
            title="Decisions a transaction",
            description="Traces decided by one transaction, on average. It grows with the load: "
            "that is what keeps transactions cheap.",
            unit=Unit.NUMBER,
            queries=(
                Query(
                    f"{rate('tailstream_traces_decided_total')}"
                    f" / ({rate(f'{TRANSACTION}_count', by=COMMITTED)} > 0)",
                    "traces",
                ),
            ),
        ),
    ),
)

TRANSACTIONS: Final = Row(
    "Transactions",
    (
        Panel(
            title="Committed transactions, how long",
            description="From the first record to the broker's answer to the commit. The dots are "
            "kept traces that went out with one: click to open. Slow ones: look at the brokers' "
            "disks and at replication.",
            unit=Unit.SECONDS,
            queries=_quantiles(TRANSACTION, by=COMMITTED),
        ),
        Panel(
            title="Transactions by outcome",
            description="aborted: done again with half of what they held. What the broker refuses "
            "alone becomes a dead letter.",
            unit=Unit.PER_SECOND,
            queries=(Query(rate(f"{TRANSACTION}_count", labels="outcome"), "{{outcome}}"),),
        ),
    ),
)

RESTORES: Final = Row(
    "Restores",
    (
        Panel(
            title="From assigned to ready",
            description="How long partitions took to restore, over the hour before. The replay "
            "comes after it. A gap: none was assigned.",
            unit=Unit.SECONDS,
            queries=(_over_an_hour(0.5), _over_an_hour(0.99)),
        ),
        Panel(
            title="Restores",
            description="Partitions that became ready, in each five minutes. Many without a "
            "deployment: workers restart, or leave the group for being slow.",
            unit=Unit.NUMBER,
            queries=(Query(f"sum(increase({RESTORE}_count{{{FLEET}}}[5m]))", "partitions"),),
            decimals=0,
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="tailstream-latency",
    title="Tailstream / Latency",
    description="How long decisions and transactions take, with traces to look at.",
    variables=(JOB, PARTITION),
    rows=(NOW, DECISIONS, TRANSACTIONS, RESTORES),
)
