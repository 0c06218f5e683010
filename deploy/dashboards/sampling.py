"""Tailstream / Sampling: what comes in, what is kept and dropped, by which policy, and why now."""

from typing import Final

from deploy.dashboards.model import Dashboard, Panel, Query, Row, Unit, high_is_bad, stat
from deploy.dashboards.selectors import FLEET, JOB, rate, sum_of_partitions

SPANS: Final = "tailstream_spans_total"
TRACES: Final = "tailstream_traces_decided_total"
KEPT: Final = f'{FLEET}, verdict="sampled"'
DROPPED: Final = f'{FLEET}, verdict="not_sampled"'
GONE_OUT: Final = f'{FLEET}, outcome=~"sampled|late_sampled"'
PROMOTED: Final = f'{FLEET}, outcome="promoted"'
PINNED: Final = f'{FLEET}, trigger="pinned"'
PINS: Final = f'{FLEET}, kind=~"pin_.*"'
IN_THE_LAW: Final = f'{FLEET}, outcome!~"replayed|promoted"'

UNACCOUNTED: Final = (
    f"sum(tailstream_spans_received_total{{{FLEET}}}) - sum({SPANS}{{{IN_THE_LAW}}})"
    f" - (sum(tailstream_open_spans{{{FLEET}}}) or on () vector(0))"
)

NOW: Final = Row(
    "Now",
    (
        stat(
            "Spans in",
            rate("tailstream_spans_received_total"),
            Unit.PER_SECOND,
            "Spans that the workers read each second, without what they read again.",
        ),
        stat(
            "Spans kept",
            f"{rate(SPANS, by=GONE_OUT)} / ({rate('tailstream_spans_received_total')} > 0)",
            Unit.SHARE,
            "Spans that went out, of those that came in. They go out a window later, so the "
            "share is off while the rate changes.",
        ),
        stat(
            "Traces kept",
            f"{rate(TRACES, by=KEPT)} / ({rate(TRACES)} > 0)",
            Unit.SHARE,
            "Traces decided as kept, of those decided.",
        ),
        stat(
            "Traces decided",
            rate(TRACES),
            Unit.PER_SECOND,
            "Decisions that have committed, each second, kept and dropped together.",
        ),
        stat(
            "Dead letters, 1 h",
            f"sum(increase(tailstream_dead_letters_total{{{FLEET}}}[1h]))",
            Unit.NUMBER,
            "Records or spans that could not be sampled in the last hour. Below: why.",
            steps=high_is_bad(1, 1000),
            decimals=0,
        ),
        stat(
            "Spans unaccounted for",
            UNACCOUNTED,
            Unit.NUMBER,
            "Spans received that are neither open nor have an outcome. Anything but 0 is a bug of "
            "ours (for one scrape it may be a worker that started or ended).",
            steps=high_is_bad(None, 1),
            decimals=0,
        ),
    ),
)

WHERE_SPANS_GO: Final = Row(
    "Spans",
    (
        Panel(
            title="Spans in",
            description="Spans read each second, by worker: how evenly they share the load.",
            unit=Unit.PER_SECOND,
            queries=(
                Query(rate("tailstream_spans_received_total", labels="instance"), "{{instance}}"),
            ),
            stacked=True,
        ),
        Panel(
            title="Where spans went",
            description="Spans whose transaction has committed, by outcome. With those that are "
            "open it adds up to what came in, a window earlier.",
            unit=Unit.PER_SECOND,
            queries=(Query(rate(SPANS, by=IN_THE_LAW, labels="outcome"), "{{outcome}}"),),
            stacked=True,
        ),
        Panel(
            title="Late spans",
            description="Spans that came after their trace's decision. They follow it: "
            "late_sampled goes out, late_not_sampled is dropped. Many: decision_wait is too "
            "short, or spans wait long before they reach Kafka.",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    rate(SPANS, by=f'{FLEET}, outcome=~"late_.*"', labels="outcome"), "{{outcome}}"
                ),
            ),
        ),
        Panel(
            title="Duplicates, replays, spans handed over",
            description="duplicate: a span id that its kept trace has already, removed. replayed: "
            "read again after a restart, without effect. released: open when the partition went "
            "to another worker, which reads them again.",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    rate(
                        SPANS,
                        by=f'{FLEET}, outcome=~"duplicate|replayed|released"',
                        labels="outcome",
                    ),
                    "{{outcome}}",
                ),
            ),
        ),
    ),
)

DECISIONS: Final = Row(
    "Decisions",
    (
        Panel(
            title="Traces kept, by policy",
            description="The policy that decided. A sudden rise of one: what it looks for happens "
            "more often, in your services.",
            unit=Unit.PER_SECOND,
            queries=(Query(rate(TRACES, by=KEPT, labels="policy"), "{{policy}}"),),
            stacked=True,
        ),
        Panel(
            title="Traces dropped, by policy",
            description="An empty name: no policy wanted them. A name: a drop policy, or a limit "
            "of that policy was used up.",
            unit=Unit.PER_SECOND,
            queries=(Query(rate(TRACES, by=DROPPED, labels="policy"), "{{policy}}"),),
            stacked=True,
        ),
        Panel(
            title="Why now",
            description="What made traces due. decision_wait and root_received are as it should "
            "be; span_limit and trace_bytes_limit are giant traces, overload and disk_limit a "
            "worker without room: those are decided early, on what is known.",
            unit=Unit.PER_SECOND,
            queries=(Query(rate(TRACES, labels="trigger"), "{{trigger}}"),),
            stacked=True,
        ),
        Panel(
            title="Votes",
            description="What each policy said of the traces that it was asked about. A policy "
            "that never votes to keep can go, or is wrong.",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    rate("tailstream_policy_votes_total", labels="policy, vote"),
                    "{{policy}}: {{vote}}",
                ),
            ),
        ),
    ),
)

SECOND_CHANCE: Final = Row(
    "Pins and second chance",
    (
        Panel(
            title="Pins, by what they found",
            description="Traces that somebody asked to keep (a metric's exemplar, say). "
            "pin_pending: before its first span; pin_clipped: of these, those whose ttl is above "
            "decisions.retention; pin_open: in its window; pin_dropped: after a verdict, so it is "
            "promoted; pin_refused: limits.pins_max is reached; pin_expired: no span ever came.",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    rate("tailstream_records_total", by=PINS, labels="kind"),
                    "{{kind}}",
                ),
            ),
        ),
        Panel(
            title="Promotions",
            description="Dropped traces that went out after all, read again from the input. "
            "promoted_partial, not_found: retention had deleted some or all of it. deferred: it "
            "waits for another round; many are more than promotion allows.",
            unit=Unit.PER_SECOND,
            queries=(
                Query(rate("tailstream_promotions_total", labels="outcome"), "{{outcome}}"),
                Query(rate(SPANS, by=PROMOTED), "spans"),
            ),
        ),
        Panel(
            title="Records read again for promotions",
            description="Input records read each second to find dropped traces, by worker; those "
            "between the wanted ones count, too. At promotion.records_per_s it is the limit: "
            "promotions wait for it, and raising it costs the broker reads.",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    rate("tailstream_promotion_records_total", labels="instance"), "{{instance}}"
                ),
            ),
        ),
        Panel(
            title="Bytes read again for promotions",
            description="The same in bytes of the records' values; the limit is "
            "promotion.bytes_per_s.",
            unit=Unit.BYTES_PER_SECOND,
            queries=(
                Query(rate("tailstream_promotion_bytes_total", labels="instance"), "{{instance}}"),
            ),
        ),
        Panel(
            title="Traces kept for a pin",
            description="Decisions whose trigger is a pin, by policy: else they were dropped.",
            unit=Unit.PER_SECOND,
            queries=(Query(rate(TRACES, by=PINNED, labels="policy"), "{{policy}}"),),
        ),
        Panel(
            title="Waiting",
            description="pins: they wait for their traces' first spans, until they expire. "
            "promotions: not committed yet; the resume offset waits for them.",
            unit=Unit.NUMBER,
            queries=(
                Query(sum_of_partitions("tailstream_pins_pending", by=FLEET), "pins"),
                Query(sum_of_partitions("tailstream_promotions_waiting", by=FLEET), "promotions"),
            ),
        ),
    ),
)

ODD: Final = Row(
    "What should not be",
    (
        Panel(
            title="Dead letters",
            description="Records or spans that cannot be sampled, by reason. They are in the dead "
            "letter topic, with the reason and their place in its headers.",
            unit=Unit.PER_SECOND,
            queries=(Query(rate("tailstream_dead_letters_total", labels="reason"), "{{reason}}"),),
        ),
        Panel(
            title="Limits reached",
            description="How often each limit decided a trace early (or left headers out). Each "
            "has the name of its setting.",
            unit=Unit.PER_SECOND,
            queries=(Query(rate("tailstream_limit_reached_total", labels="limit"), "{{limit}}"),),
        ),
        Panel(
            title="Odd records",
            description="misrouted: a key in another partition than the partitioner says: traces "
            "fall apart. key_mismatch: a key that is not the trace id: run tailstream rekey. "
            "no_spans: read, and no span in it: another encoding? "
            "lost_to_retention: spans that were deleted before they were read. control: pins.",
            unit=Unit.PER_SECOND,
            queries=(Query(rate("tailstream_records_total", labels="kind"), "{{kind}}"),),
        ),
        Panel(
            title="Spans unaccounted for",
            description="Received minus open minus every outcome, by worker: 0, always.",
            unit=Unit.NUMBER,
            queries=(
                Query(
                    f"sum by (instance) (tailstream_spans_received_total{{{FLEET}}})"
                    f" - sum by (instance) ({SPANS}{{{IN_THE_LAW}}})"
                    f" - (sum by (instance) (tailstream_open_spans{{{FLEET}}})"
                    f" or 0 * sum by (instance) (tailstream_spans_received_total{{{FLEET}}}))",
                    "{{instance}}",
                ),
            ),
            steps=high_is_bad(None, 1),
            decimals=0,
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="tailstream-sampling",
    title="Tailstream / Sampling",
    description="What comes in, what is kept and dropped, by which policy, and why now.",
    variables=(JOB,),
    rows=(NOW, WHERE_SPANS_GO, DECISIONS, SECOND_CHANCE, ODD),
)
