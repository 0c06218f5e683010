"""What `tailstream show` says beside the tree, and where there is none."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from stream.assembly.delivery import deliveries_of
from stream.assembly.trace import assemble
from stream.cli.show_words import Looked, lines_of, nothing
from stream.explain import Recorded, in_one_line, recorded
from stream.sampling.decision import Decision, Trigger, Verdict, encode
from stream.settings.model import Settings
from stream.testing.decisions import a_decision
from stream.testing.spans import (
    TRACE_ID,
    a_span,
    a_trace,
    resource_spans,
    span_id_of,
    trace_id_of,
    traces_data,
)

SETTINGS = Settings()
SINCE_MS = 1_795_388_400_000
DECISION = a_decision(
    trace_id=TRACE_ID,
    policy="slow",
    duration_us=1_234_500,
    time_ms=1_795_392_000_000,
    upto=9,
    offsets=[3, 5],
    ballot="nsn",
)
DROPPED = replace(DECISION, verdict=Verdict.NOT_SAMPLED, policy="", ballot="nnn")


@dataclass(frozen=True, slots=True)
class Written:
    """A record of the output topic."""

    value: bytes
    offset: int = 0
    partition: int = 3
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def delivered(
    value: bytes, *, offset: int = 0, trigger: str = "decision_wait", part: str = "1/1"
) -> Written:
    name = f"{TRACE_ID.hex()}:{9 if trigger == 'decision_wait' else 12}:{part}"
    headers = {
        "tailstream.policy": "slow",
        "tailstream.trigger": trigger,
        "tailstream.delivery": name,
    }
    return Written(value, offset, headers=[(key, text.encode()) for key, text in headers.items()])


def decided(*decisions: Decision, partition: int = 3) -> list[Recorded]:
    config = SETTINGS.policies_hash()
    values = (encode(each, config=config, topic_id="t", group="g") for each in decisions)
    return [recorded(value, partition, offset) for offset, value in enumerate(values)]


def looked(*decisions: Decision, **changes: Any) -> Looked:
    found = Looked(TRACE_ID.hex(), SINCE_MS, decisions=decided(*decisions))
    found.partitions, found.records = [3], 17
    return replace(found, **changes)


def said(written: list[Written], at: Looked) -> list[str]:
    found = deliveries_of(written, TRACE_ID)
    return list(lines_of(SETTINGS, assemble(found.spans, found.others), found, at))


# Why.


def test_one_line_says_who_kept_it_when_and_how_all_voted() -> None:
    assert in_one_line(decided(DECISION), SETTINGS) == (
        "kept, because slow voted to keep it (trace took more than 1000 ms); decided "
        "2026-11-23 00:00:00 UTC, as its window had passed (decision_wait: 30s here); "
        "votes: errors no, slow yes, rest no"
    )


def test_one_line_tells_how_many_a_shared_trace_stands_for() -> None:
    shared = replace(DECISION, policy="rest", threshold=(1 << 56) * 19 // 20, ballot="nns")

    assert "; it stands for 20.0 traces like it" in in_one_line(decided(shared), SETTINGS)


def test_late_spans_do_not_hide_the_verdict_and_a_later_verdict_stands() -> None:
    late = replace(DECISION, trigger=Trigger.LATE, ballot="")
    promoted = replace(DECISION, policy="errors", ballot="")

    assert "slow yes" in in_one_line(decided(DECISION, late), SETTINGS)
    assert in_one_line(decided(DROPPED, promoted, late), SETTINGS).startswith(
        "kept, because errors voted"
    )


# Of a trace that was found.


def test_a_late_delivery_belongs_to_the_trace_and_is_told() -> None:
    spans = a_trace(spans=4)
    late = replace(DECISION, trigger=Trigger.LATE, spans=1, ballot="")
    written = [
        delivered(traces_data(spans[:3])),
        delivered(traces_data(spans[3]), offset=7, trigger="late"),
    ]

    summary, why, where = said(written, looked(DECISION, late))

    assert summary == "4 spans of 1 service"
    assert why.startswith("kept, because slow voted to keep it")
    assert where == (
        "2 deliveries (decision_wait, late) in otlp_spans_sampled, partition 3; links to it were "
        "looked for in partition 3, since 2026-11-22 23:00:00 UTC"
    )


def test_the_parts_of_a_delivery_are_one_and_a_missing_one_is_told() -> None:
    spans = a_trace(spans=3)
    written = [
        delivered(traces_data(span), offset=offset, part=f"{offset}/4")
        for offset, span in enumerate(spans, start=1)
    ]

    found = deliveries_of(written, TRACE_ID)
    lines = said(written, looked(DECISION))

    assert [(each.parts, each.spans) for each in found.deliveries] == [({1, 2, 3}, 3)]
    assert lines[3:] == ["only 3 of 4 records of the delivery at offset 1 are there"]


def test_spans_that_were_delivered_and_are_not_there_are_told() -> None:
    covered = replace(DECISION, spans=9, duplicates=1, dead_lettered=2)

    *_, line = said([delivered(traces_data(a_trace(spans=4)))], looked(covered))

    assert line == (
        "2 spans more delivered, and not found since 2026-11-22 23:00:00 UTC: deleted meanwhile, "
        "or look further back with --since"
    )


def test_a_trace_whose_decision_is_older_is_told_with_what_the_delivery_says() -> None:
    written = [delivered(traces_data(a_trace()))]

    assert said(written, looked())[1] == (
        "kept by slow (decision_wait), more is not known: tailstream_decisions has no decision of "
        "group tailstream on it since 2026-11-22 23:00:00 UTC"
    )
    assert said(written, looked(unread="not allowed"))[1] == (
        "kept by slow (decision_wait), more is not known: not allowed"
    )
    late = replace(DECISION, trigger=Trigger.LATE, ballot="")
    assert said(written, looked(late))[-1].startswith("its first decision is older")


def test_roots_orphans_errors_and_duplicates_are_counted() -> None:
    lost = a_span(span_id=span_id_of(9), parent_span_id=span_id_of(77))
    spans = [*a_trace(spans=3, error=True), lost]

    summary = said([delivered(traces_data(spans, spans[0]))], looked())[0]

    assert (
        summary == "4 spans of 1 service, 1 with an error, 1 root, 1 orphan, 1 came more than once"
    )
    assert said([delivered(traces_data(lost))], looked())[0].endswith(", 1 orphan, no root")


def test_what_is_not_otlp_and_other_traces_are_no_spans_of_it() -> None:
    other = a_span(trace_id=trace_id_of(8))
    linking = resource_spans([other], service="ledger")
    written = [Written(b"\xff"), delivered(traces_data(a_trace(), linking)), Written(b"")]

    found = deliveries_of(written, TRACE_ID)

    assert (len(found.spans), found.unreadable) == (3, 1)
    assert [span.service for span in found.others] == ["ledger"]
    assert said(written, looked())[-1] == "1 record that named it could not be decoded"


# Of a trace that lies astride added partitions.

PENDING = replace(DECISION, verdict=Verdict.PENDING, policy="pin", source="me", ballot="")


def test_of_two_parts_decided_apart_the_kept_one_comes_first_and_the_other_is_told() -> None:
    late = replace(DECISION, trigger=Trigger.LATE, spans=1, ballot="")
    both = [*decided(DROPPED), *decided(DECISION, late, partition=7)]
    written = [replace(delivered(traces_data(a_trace())), partition=7)]

    _, why, apart, where, *_ = said(written, looked(decisions=both, partitions=[3, 7]))

    assert why.startswith("kept, because slow voted to keep it")
    assert apart.startswith(
        "a part of it lay in partition 3 and was decided apart: dropped, because no policy voted"
    )
    assert "partition 7; links to it were looked for in 2 partitions" in where


def test_a_part_that_was_dropped_does_not_hide_that_the_other_was_kept_and_is_gone() -> None:
    both = [*decided(DROPPED), *decided(DECISION, partition=7)]

    lines = nothing(SETTINGS, looked(decisions=both)).splitlines()

    assert lines[0].startswith(f"{TRACE_ID.hex()} was kept, because slow voted to keep it")
    assert lines[1].startswith("a part of it lay in partition 3 and was decided apart: dropped")
    assert lines[2].startswith("But otlp_spans_sampled has no span of it since")
    assert lines[3] == f"More: tailstream explain {TRACE_ID.hex()} --all-partitions"


def test_a_pin_that_waits_in_other_partitions_is_no_part_of_the_trace() -> None:
    both = [*decided(PENDING), *decided(DROPPED, partition=7), *decided(PENDING, partition=8)]

    first, *rest = nothing(SETTINGS, looked(decisions=both)).splitlines()

    assert first.startswith(f"{TRACE_ID.hex()} was dropped, because no policy")
    assert rest == [f"More: tailstream explain {TRACE_ID.hex()}"]
    assert "was pinned by me" in nothing(SETTINGS, looked(decisions=decided(PENDING)))


def test_a_span_that_was_delivered_from_two_partitions_is_not_missing() -> None:
    spans = a_trace(spans=3)
    both = [
        *decided(replace(DECISION, spans=3)),
        *decided(replace(DECISION, spans=1), partition=7),
    ]
    written = [
        delivered(traces_data(spans)),
        replace(delivered(traces_data(spans[0])), partition=7),
    ]

    lines = said(written, looked(decisions=both))

    assert lines[0].endswith(", 1 came more than once")
    assert not [line for line in lines if "not found since" in line]


# Of a trace that was not.


def test_a_dropped_trace_is_told_by_its_decision_and_where_to_read_more() -> None:
    assert nothing(SETTINGS, looked(DROPPED)).splitlines() == [
        (
            f"{TRACE_ID.hex()} was dropped, because no policy voted to keep it; decided "
            "2026-11-23 00:00:00 UTC, as its window had passed (decision_wait: 30s here); "
            "votes: errors no, slow no, rest no."
        ),
        f"More: tailstream explain {TRACE_ID.hex()}",
    ]


@pytest.mark.parametrize(
    ("retention_ms", "told"),
    [
        (None, "another topic than topics.output.\n"),
        (-1, "another topic than topics.output. otlp_spans_sampled keeps its records for ever.\n"),
        (86_400_000, ". otlp_spans_sampled keeps its records for 24h.\n"),
    ],
)
def test_a_kept_trace_that_is_gone_is_told_with_the_topics_retention(
    retention_ms: int | None, told: str
) -> None:
    text = nothing(SETTINGS, looked(DECISION, retention_ms=retention_ms))

    assert "was kept, because slow voted to keep it" in text
    assert "otlp_spans_sampled has no span of it since 2026-11-22 23:00:00 UTC" in text
    assert "(partition 3, 17 records read)" in text
    assert told in text


def test_of_an_unknown_trace_it_says_where_it_looked_and_what_may_be() -> None:
    text = nothing(SETTINGS, looked(partitions=[0, 1], others=1, retention_ms=3_600_000))

    assert text.splitlines() == [
        (
            f"Nothing is known of {TRACE_ID.hex()}: otlp_spans_sampled has no span of it since "
            "2026-11-22 23:00:00 UTC (2 partitions, 17 records read), and"
        ),
        "tailstream_decisions has no decision on it of group tailstream.",
        "1 record of another group or version is there: see worker.group.",
        (
            "Either it is still open (decision_wait is 30s), or it was decided before that "
            "(--since 24h looks further back), or none of its spans came to otlp_spans. "
            "otlp_spans_sampled keeps its records for 1h."
        ),
    ]
