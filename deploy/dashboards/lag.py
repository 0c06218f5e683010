"""Tailstream / Lag: how far behind the workers are, whether they catch up, what could be lost."""

from typing import Final

from deploy.dashboards.model import (
    Dashboard,
    Panel,
    Query,
    Row,
    Unit,
    high_is_bad,
    low_is_bad,
    stat,
)
from deploy.dashboards.selectors import (
    BESIDE,
    FLEET,
    JOB,
    PARTITION,
    attended_or_not,
    by_partition,
    rate,
    sum_of_partitions,
)

HOUR_S: Final = 3600
RECORDS: Final = f"sum({attended_or_not('tailstream_lag_records', by=FLEET)})"
SECONDS: Final = f"max({attended_or_not('tailstream_lag_seconds', by=FLEET)})"
RETENTION_LEFT: Final = "tailstream_retention_left_seconds"
FALLING: Final = f"-deriv({RECORDS}[45s:5s])"
# Just after a start nobody knows yet how fast the lag falls: that is shown as not at all.
SPEED: Final = f"(clamp_min({FALLING}, 0) or on () 0 * {RECORDS})"
CATCH_UP: Final = f"({RECORDS} > 0 and on () ({SECONDS} > 5)) / {SPEED} or on () 0 * {RECORDS}"
WINDOW: Final = Query(f"max(tailstream_decision_wait_seconds{{{FLEET}}})", "window")

NOW: Final = Row(
    "Now",
    (
        stat(
            "Behind",
            SECONDS,
            Unit.SECONDS,
            "How old the newest record read is, in the partition furthest behind; 0 where all is "
            "read. Cut off from the brokers: since when. Above the window "
            "(tail_sampling.decision_wait) decisions come that much late.",
            steps=high_is_bad(10, 30),
        ),
        stat(
            "Records to read",
            RECORDS,
            Unit.NUMBER,
            "Records between what was read and the end of the input, of all partitions, also of "
            "those that nobody reads. It is the lag of the group `<group>-position`.",
        ),
        stat(
            "Time to catch up",
            CATCH_UP,
            Unit.SECONDS,
            "Lag divided by how fast it falls (over 45 s). 0: not more than 5 s behind. "
            "Infinite: it does not fall (just after a restart: not known yet); more workers, or "
            "less input, are needed.",
            steps=high_is_bad(300, HOUR_S),
        ),
        stat(
            "Replay debt",
            sum_of_partitions("tailstream_replay_debt_records", by=FLEET),
            Unit.NUMBER,
            "Records that would be read again after a crash now: about one window of input. It "
            "is what the group `<group>` lags behind `<group>-position`, and never 0 while records "
            "come. Partitions that nobody reads are not in it.",
        ),
        stat(
            "Retention left",
            f"min({attended_or_not(RETENTION_LEFT, by=FLEET)})",
            Unit.SECONDS,
            "Until the input's retention deletes the first record that is not decided yet, in the "
            "partition where that is soonest. At 0 spans are lost. Only where the topic has a "
            "finite retention.ms.",
            steps=low_is_bad(HOUR_S, 4 * HOUR_S),
        ),
        stat(
            "Partitions read",
            # While a partition moves, scrapes of two moments may count it twice.
            f'clamp_max(sum(tailstream_partitions{{{FLEET}, state="ready"}})'
            f" / max(tailstream_input_partitions{{{FLEET}}}), 1)",
            Unit.SHARE,
            "Partitions of the input that a worker has and has restored. Below 100 % for longer "
            "than a restore: spans wait that nobody reads.",
            steps=low_is_bad(1),
        ),
    ),
)

PER_PARTITION: Final = Row(
    "Per partition",
    (
        Panel(
            title="Lag in seconds",
            description="Wall clock minus the time of the newest record read, while there is "
            "more to read. One partition above the others: a hot key, or a worker that is slow. "
            "All of them: too few workers, or a broker that is slow.",
            unit=Unit.SECONDS,
            queries=(Query(attended_or_not("tailstream_lag_seconds"), "{{partition}}"), WINDOW),
        ),
        Panel(
            title="Lag in records",
            description="Records between what was read and the end of the log. Of a partition "
            "that nobody reads (its worker was killed, or restores it) the other workers tell it. "
            "Whoever takes a partition over reads one window again: its lag rises by that.",
            unit=Unit.NUMBER,
            queries=(Query(attended_or_not("tailstream_lag_records"), "{{partition}}"),),
        ),
        Panel(
            title="Retention left before loss",
            description="Until retention deletes the resume offset's record. A line that falls "
            "by a second a second is a partition that does not move; at 0 spans are lost.",
            unit=Unit.SECONDS,
            queries=(Query(attended_or_not(RETENTION_LEFT), "{{partition}}"),),
            steps=low_is_bad(HOUR_S, 4 * HOUR_S),
        ),
        Panel(
            title="Held back by an open transaction",
            description="Records that are in the log and that nobody may read before a producer's "
            "transaction ends. Above 0 for minutes: a transaction hangs; the runbook says how to "
            "end it.",
            unit=Unit.NUMBER,
            queries=(
                Query(by_partition("tailstream_held_by_transaction_records"), "{{partition}}"),
            ),
            steps=high_is_bad(None, 1),
        ),
        Panel(
            title="Promotions waiting",
            description="Dropped traces that are to go out after all and have not: the resume "
            "offset waits for them, so the replay debt and the retention left follow this line. "
            "*Sampling* tells what they wait for.",
            unit=Unit.NUMBER,
            queries=(Query(by_partition("tailstream_promotions_waiting"), "{{partition}}"),),
        ),
    ),
)

CATCHING_UP: Final = Row(
    "Catching up",
    (
        Panel(
            title="Time to catch up",
            description="Lag divided by how fast it falls (over 45 s: too long at first, where it "
            "has just begun to fall). A gap: it does not fall.",
            unit=Unit.SECONDS,
            queries=(Query(CATCH_UP, "time to catch up"),),
        ),
        Panel(
            title="Spans read",
            description="What the workers read each second. While they catch up this is what "
            "they can do; a worker that reads far less than the others is the slow one.",
            unit=Unit.PER_SECOND,
            queries=(
                Query(rate("tailstream_spans_received_total", labels="instance"), "{{instance}}"),
            ),
            stacked=True,
        ),
    ),
)

AFTER_A_RESTART: Final = Row(
    "After a restart",
    (
        Panel(
            title="Partitions",
            description="Partitions by what their worker does with them, and how many the topic "
            "has. What is missing up to that line has no worker.",
            unit=Unit.NUMBER,
            queries=(
                Query(f"sum by (state) (tailstream_partitions{{{FLEET}}})", "{{state}}"),
                Query(f"max(tailstream_input_partitions{{{FLEET}}})", "of the topic"),
            ),
            decimals=0,
        ),
        Panel(
            title="Decisions still to be read",
            description="A partition's decisions that a restore has not read yet: first those that "
            "the replay needs (not ready before), then the older ones, beside the replay.",
            unit=Unit.NUMBER,
            queries=(Query(by_partition("tailstream_restore_remaining_records"), "{{partition}}"),),
        ),
        Panel(
            title="Replay still to be read",
            description="Records that were read before a restart and are read again, without "
            "effect on what has been decided.",
            unit=Unit.NUMBER,
            queries=(Query(by_partition("tailstream_replay_remaining_records"), "{{partition}}"),),
        ),
        Panel(
            title="Replay debt",
            description="Records from the resume offset to the position: what a crash would read "
            "again. It grows without end where one partition's oldest trace is never delivered.",
            unit=Unit.NUMBER,
            queries=(Query(by_partition("tailstream_replay_debt_records"), "{{partition}}"),),
        ),
    ),
)

BESIDE_THE_WORKERS: Final = Row(
    "Beside the workers",
    (
        Panel(
            title="Export, behind",
            description="How old the oldest kept trace is that the backend has not acknowledged. "
            "It grows while the backend is away or too slow; Kafka holds the rest.",
            unit=Unit.SECONDS,
            queries=(
                Query(f"max by (job) (tailstream_export_lag_seconds{{{BESIDE}}})", "{{job}}"),
            ),
        ),
        Panel(
            title="Export, answers of the backend",
            description="Requests each second by what the backend said. try_again: busy, or no "
            "answer. not_for_us: the address or the credentials are wrong. refused, too_large, "
            "failed: what comes of it is in the dead letters.",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    rate("tailstream_export_requests_total", by=BESIDE, labels="answer"),
                    "{{answer}}",
                ),
            ),
        ),
        Panel(
            title="Exemplars, behind",
            description="How old the newest record of metrics is that tailstream exemplars has "
            "read. Pins that come later than decisions are remembered find nothing.",
            unit=Unit.SECONDS,
            queries=(
                Query(f"max by (job) (tailstream_exemplars_lag_seconds{{{BESIDE}}})", "{{job}}"),
            ),
        ),
        Panel(
            title="Rekey, behind",
            description="How old the newest record is that tailstream rekey has brought to the "
            "input: all spans come that much late.",
            unit=Unit.SECONDS,
            queries=(Query(f"max by (job) (tailstream_rekey_lag_seconds{{{BESIDE}}})", "{{job}}"),),
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="tailstream-lag",
    title="Tailstream / Lag",
    description="How far behind the workers are, whether they catch up, and what could be lost.",
    variables=(JOB, PARTITION),
    rows=(NOW, PER_PARTITION, CATCHING_UP, AFTER_A_RESTART, BESIDE_THE_WORKERS),
)
