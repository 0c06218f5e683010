import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from io import StringIO

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from stream.assembly.drawing import render_trace
from stream.demo.account import Account
from stream.demo.generator import Load
from stream.demo.live import Live
from stream.demo.record import Record, RecordKind
from stream.demo.story import Example, PolicyRow, Story, render_story
from stream.demo.truth import Truth
from stream.sampling.decision import Clock, Decision, Trigger, Verdict
from stream.testing.spans import (
    MS,
    START_NS,
    a_span,
    a_trace,
    resource_spans,
    span_id_of,
    traces_data,
)

TRACE_ID = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
WHY = {
    "errors": "a span has status ERROR",
    "slow": "trace took more than 1000 ms",
    "rest": "5 % of what is left, by trace id",
}


def checkout() -> bytes:
    """The trace of the golden text: a slow authorisation, four services."""

    def span(number: int, parent: int, name: str, from_ms: int, to_ms: int) -> Span:
        return a_span(
            trace_id=TRACE_ID,
            span_id=span_id_of(number),
            parent_span_id=span_id_of(parent) if parent else b"",
            name=name,
            start_ns=START_NS + from_ms * MS,
            end_ns=START_NS + to_ms * MS,
        )

    spans = {
        "psp": span(3, 2, "authorise", 309, 2009),
        "gateway": span(1, 0, "POST /checkout", 0, 2013),
        "inventory": span(4, 1, "reserve", 1, 89),
        "payment": span(2, 1, "charge", 60, 2010),
    }
    return traces_data(*(resource_spans([each], service=name) for name, each in spans.items()))


GOOD = Story(
    traces=5000,
    spans=24310,
    records=9870,
    partitions=4,
    late_spans=31,
    resent_spans=12,
    malformed=3,
    rows=(
        PolicyRow("errors", "decision_wait", 100, 610, WHY["errors"]),
        PolicyRow("slow", "decision_wait", 50, 341, WHY["slow"]),
        PolicyRow("rest", "decision_wait", 239, 1253, WHY["rest"]),
    ),
    kept_traces=389,
    whole_traces=389,
    dropped_traces=4611,
    sampled=2195,
    not_sampled=22076,
    late_sampled=9,
    late_not_sampled=22,
    duplicates=8,
    resent_dropped=4,
    dead_lettered=0,
    dead_letters={"malformed": 3},
    delivered_twice=0,
    example=Example(TRACE_ID, "slow", checkout()),
    end="Embedded broker: at least once, nothing kept after exit.   Next:  tailstream init",
)

GOLDEN = """\
  in       5,000 traces   24,310 spans   9,870 records   4 partitions   31 late spans   12 resent
  kept       389 traces    2,204 spans   (9.1 % of spans), 389 of 389 whole
    policy   trigger          traces  spans        why
    errors   decision_wait       100    610        a span has status ERROR
    slow     decision_wait        50    341        trace took more than 1000 ms
    rest     decision_wait       239  1,253        5 % of what is left, by trace id
  late        31 spans: 9 followed a kept trace out, 22 followed a drop
  resent      12 spans: 8 removed from a kept trace, 4 fell with a drop
  dropped  4,611 traces   22,076 spans      dead letters 3 records (malformed)
  check    24,310 = 2,195 sampled + 22,076 not sampled + 31 late + 8 duplicate   \
nothing unaccounted for
  4bf92f3577b34da6a3ce929d0e0e4736  kept by slow   POST /checkout 2,013 ms   █ critical path
  POST /checkout  gateway   █░░░░░░░░░░░░░░░░░░░  2,013 ms
  ├─ reserve      inventory ░                        88 ms
  └─ charge       payment    ██░░░░░░░░░░░░░░░░░  1,950 ms
     └─ authorise psp          █████████████████  1,700 ms
  Embedded broker: at least once, nothing kept after exit.   Next:  tailstream init
"""


def plain(text: Text) -> str:
    out = StringIO()
    Console(file=out, width=60).print(text, soft_wrap=True, highlight=False)
    return out.getvalue()


def test_the_story_of_a_good_run_reads_like_this() -> None:
    assert plain(render_story(GOOD)) == GOLDEN


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sampled": 2190}, "24,310 ≠ 2,190 sampled"),
        ({"sampled": 2190}, "5 spans unaccounted for"),
        ({"sampled": 2198}, "3 spans accounted for twice"),
        ({"whole_traces": 387}, "2 kept traces not whole"),
        ({"dead_letters": {}}, "3 malformed records not found"),
        ({"resent_dropped": 3}, "12 spans resent, 11 of them found"),
    ],
)
def test_a_fault_is_told_instead_of_the_good_end(change: dict[str, int], told: str) -> None:
    text = plain(render_story(replace(GOOD, **change)))  # type: ignore[arg-type]  # by the table
    assert told in text
    assert "nothing unaccounted for" not in text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"delivered_twice": 4}, "4 delivered twice, as at_least_once allows"),
        ({"dead_lettered": 2, "sampled": 2193}, "+ 2 dead-lettered "),
        (
            {"dead_letters": {"malformed": 2, "invalid_trace_id": 1}},
            "3 records (1 invalid_trace_id, 2 malformed)",
        ),
    ],
)
def test_what_is_rare_is_told_where_it_happens(change: dict[str, int], told: str) -> None:
    assert told not in GOLDEN
    text = plain(render_story(replace(GOOD, **change)))  # type: ignore[arg-type]  # by the table
    assert told in text
    assert "nothing unaccounted for" in text


def test_nothing_sent_and_nothing_kept_has_a_story_too() -> None:
    story = Account().story(Truth(), partitions=4, why=WHY, end="The end.")
    assert "0 of 0 whole" in plain(render_story(story))


def test_a_failed_span_is_marked_and_its_neighbours_are_not() -> None:
    lines = [each.plain for each in render_trace(traces_data(a_trace(error=True)), Text("t"))]
    assert [line.endswith("ERROR") for line in lines] == [False, False, False, True]


def test_a_span_whose_parent_is_missing_stands_at_the_top() -> None:
    value = traces_data(a_span(name="orphan", parent_span_id=span_id_of(9)))
    assert render_trace(value, Text("t"))[1].plain.startswith("orphan ")


def test_a_span_sent_twice_is_drawn_once() -> None:
    value = traces_data(a_span(), a_span())
    assert len(render_trace(value, Text("t"))) == 2


def test_every_bar_lies_within_its_cells() -> None:
    spans = [
        a_span(
            span_id=span_id_of(2 + at),
            parent_span_id=span_id_of(1),
            start_ns=START_NS + at * MS,
            end_ns=START_NS + at * MS + length,
        )
        for at in range(100)
        for length in (0, MS // 3, (100 - at) * MS)
    ]
    lines = [each.plain for each in render_trace(traces_data([a_span(), *spans]), Text("t"))]
    assert len({len(line) for line in lines[1:]}) == 1
    assert all(any(block in line for block in "▏▎▍▌▋▊▉█░") for line in lines[1:])


def test_a_long_name_is_cut_and_a_trace_without_time_is_drawn() -> None:
    value = traces_data(a_span(name="x" * 99, end_ns=START_NS))
    line = render_trace(value, Text("t"))[1].plain
    assert "x" * 31 + "…" in line
    assert line.endswith(" 0 ms")


# A worker that does everything right, on the records of a load: what the account is given.

LOAD = Load(seed=5, traces=400, error_share=0.1, slow_share=0.1, late_share=0.05, resent_share=0.01)


def policy_of(record: Record) -> str:
    if record.error:
        return "errors"
    return "slow" if record.slow else ""


def delivered(records: list[tuple[int, Record]], trigger: Trigger) -> Decision:
    first = records[0][1]
    policy = policy_of(first)
    spans = [span_id for _, record in records for span_id in record.span_ids]
    return Decision(
        trace_id=bytes.fromhex(first.key.decode()),
        verdict=Verdict.SAMPLED if policy else Verdict.NOT_SAMPLED,
        policy=policy,
        trigger=trigger,
        threshold=0,
        spans=len(spans),
        errors=int(first.error),
        duration_us=2_000_000,
        complete=True,
        time_ms=0,
        clock=Clock.LOG,
        upto=records[-1][0] + 1,
        offsets=[offset for offset, _ in records],
        duplicates=len(spans) - len(set(spans)) if policy else 0,
    )


def work(records: Iterable[Record]) -> tuple[Truth, list[Decision], list[tuple[bytes, bytes]]]:
    truth = Truth()
    traces: dict[bytes, list[tuple[int, Record]]] = defaultdict(list)
    for offset, record in enumerate(records):
        truth.add(record)
        if record.kind is not RecordKind.MALFORMED:
            traces[record.key].append((offset, record))
    decisions, outputs = [], []
    for key, held in traces.items():
        for late in (False, True):
            part = [each for each in held if (each[1].kind is RecordKind.LATE) == late]
            if not part:
                continue
            decisions.append(delivered(part, Trigger.LATE if late else Trigger.DECISION_WAIT))
            if decisions[-1].verdict is Verdict.SAMPLED:
                values = {record.value: None for _, record in part}
                outputs.append((key, b"".join(values)))
    return truth, decisions, outputs


TRUTH, DECISIONS, OUTPUTS = work(LOAD.records())


def account_of(
    decisions: list[Decision], outputs: list[tuple[bytes, bytes]], dead_letters: int = 3
) -> Account:
    account = Account()
    for decision in decisions:
        account.add_decision(decision)
    for key, value in outputs:
        account.add_output(key, value)
    for _ in range(dead_letters):
        account.add_dead_letter([("tailstream.offset", b"4"), ("tailstream.reason", b"malformed")])
    return account


def story_of(account: Account) -> Story:
    return account.story(TRUTH, partitions=4, why=WHY, end="The end.")


def test_a_run_without_fault_is_settled_and_its_story_has_none() -> None:
    account = account_of(DECISIONS, OUTPUTS)
    story = story_of(account)
    assert account.is_settled(TRUTH)
    assert story.faults == []
    assert story.spans == TRUTH.spans > 0
    assert story.whole_traces == story.kept_traces > 0
    assert story.kept_traces + story.dropped_traces == TRUTH.traces
    assert story.late_sampled > 0
    assert story.late_sampled + story.late_not_sampled == TRUTH.late_spans
    assert story.duplicates > 0
    assert story.dead_letters == {"malformed": 3}
    assert story.delivered_twice == 0


def test_rows_are_in_the_policies_order_and_add_up_to_what_was_kept() -> None:
    slow_first = sorted(DECISIONS, key=lambda decision: decision.policy, reverse=True)
    story = story_of(account_of(slow_first, OUTPUTS))
    assert [row.policy for row in story.rows] == ["errors", "slow"]
    assert [row.why for row in story.rows] == [WHY["errors"], WHY["slow"]]
    assert sum(row.traces for row in story.rows) == story.kept_traces
    assert sum(row.spans for row in story.rows) == story.sampled + story.late_sampled
    assert story.rows[0].traces == TRUTH.error_traces


def test_a_missing_decision_leaves_its_spans_unaccounted_for() -> None:
    account = account_of(DECISIONS[1:], OUTPUTS)
    assert not account.is_settled(TRUTH)
    assert story_of(account).unaccounted == DECISIONS[0].spans


def test_a_missing_output_record_leaves_its_trace_not_whole() -> None:
    account = account_of(DECISIONS, OUTPUTS[1:])
    story = story_of(account)
    assert not account.is_settled(TRUTH)
    assert story.unaccounted == 0
    assert story.whole_traces == story.kept_traces - 1


def test_a_foreign_span_in_an_output_record_leaves_its_trace_not_whole() -> None:
    foreign = (OUTPUTS[0][0], traces_data(a_span()))
    story = story_of(account_of(DECISIONS, [*OUTPUTS, foreign]))
    assert story.whole_traces == story.kept_traces - 1


def test_a_missing_dead_letter_is_a_fault() -> None:
    account = account_of(DECISIONS, OUTPUTS, dead_letters=2)
    assert not account.is_settled(TRUTH)
    assert story_of(account).faults == ["1 malformed records not found"]


def test_a_delivery_made_twice_is_counted_once_and_told() -> None:
    story = story_of(account_of([*DECISIONS, *DECISIONS], [*OUTPUTS, OUTPUTS[0]]))
    assert story.faults == []
    assert story.delivered_twice > 0


def test_a_duplicate_that_was_delivered_is_a_fault() -> None:
    blind = [replace(decision, duplicates=0) for decision in DECISIONS]
    assert any("spans resent" in fault for fault in story_of(account_of(blind, OUTPUTS)).faults)


def test_the_example_is_a_whole_kept_trace_of_a_size_to_look_at() -> None:
    example = story_of(account_of(DECISIONS, OUTPUTS)).example
    assert example is not None
    assert example.policy == "slow"
    lines = render_trace(example.value, Text("t"))
    assert len(lines) - 1 == len(TRUTH.span_ids[example.trace_id])
    assert 4 <= len(lines) - 1 <= 8


def test_a_dead_letter_without_a_reason_is_counted_as_such() -> None:
    account = Account()
    account.add_dead_letter([])
    assert account.dead_letters == {"no reason given": 1}


def test_without_a_terminal_progress_is_a_few_plain_lines() -> None:
    out = StringIO()
    account = Account()
    with Live(Console(file=out, width=60), traces=LOAD.traces) as live:
        for decision in DECISIONS:
            account.add_decision(decision)
            live.show("sending", TRUTH, account)
    lines = out.getvalue().splitlines()
    assert 10 <= len(lines) <= 12
    assert all(line.startswith("  sending: sent 400 of 400 traces, kept ") for line in lines)
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_progress_leaves_nothing_behind_but_a_cleared_line() -> None:
    out = StringIO()
    with Live(Console(file=out, width=120, force_terminal=True), traces=LOAD.traces) as live:
        live.show("sending", TRUTH, account_of(DECISIONS, OUTPUTS))
    assert "dead letters 3" in out.getvalue()
    assert "400/400" in out.getvalue()


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (24, []),
        (40, ["━", "0:00:0"]),
        (64, ["dead letters 3"]),
        (75, ["━", "dead letters 3"]),
        (83, ["━", "dead letters 3", "0:00:0"]),
        (130, ["━", "traces", "dead letters 3", "0:00:0"]),
    ],
)
def test_a_narrow_terminal_shows_less_and_cuts_nothing(width: int, shown: list[str]) -> None:
    out = StringIO()
    with Live(Console(file=out, width=width, force_terminal=True), traces=LOAD.traces) as live:
        live.show("sending", TRUTH, account_of(DECISIONS, OUTPUTS))
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "400/400" in told
    assert "…" not in told
    for words in shown:
        assert words in told
    assert max(map(cell_len, re.split(r"[\r\n]", told))) <= width


def test_the_status_that_marks_a_failure_is_otlps_error() -> None:
    ok = traces_data(a_span(status=Status.STATUS_CODE_OK))
    assert not render_trace(ok, Text("t"))[1].plain.endswith("ERROR")
