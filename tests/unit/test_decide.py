"""Policies tried on files: the worker's core, without Kafka."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from stream.cli import main
from stream.decide import decide
from stream.otlp.fragment import DeadLetterReason
from stream.otlp.trace_files import messages
from stream.otlp.wire import Malformed
from stream.sampling.decision import Trigger, Vote
from stream.settings.load import checked
from stream.testing.spans import a_span, a_trace, trace_id_of, traces_data

ERROR = 2
POLICIES = [
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}},
]
SETTINGS = checked({"tail_sampling": {"policies": POLICIES}})
FAILED = traces_data(a_span(trace_id=trace_id_of(1), status=ERROR))
FINE = traces_data(*a_trace(2, spans=3))


def prefixed(*contents: bytes) -> bytes:
    return b"".join(len(content).to_bytes(4) + content for content in contents)


def as_json(content: bytes) -> bytes:
    """OTLP/JSON as its specification has it: ids in hex."""
    tree = MessageToDict(TracesData.FromString(content), use_integers_for_enums=True)
    for resource_spans in tree["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span, made in zip(
                scope_spans["spans"],
                TracesData.FromString(content).resource_spans[0].scope_spans[0].spans,
                strict=True,
            ):
                span["traceId"], span["spanId"] = made.trace_id.hex(), made.span_id.hex()
                span["parentSpanId"] = made.parent_span_id.hex()
    return json.dumps(tree).encode()


def pretty(content: bytes) -> bytes:
    return json.dumps(json.loads(as_json(content)), indent=2).encode()


def test_each_trace_has_its_verdict_and_every_vote_in_the_order_of_the_file() -> None:
    decided = decide(SETTINGS, [FINE, FAILED])

    told = [(d.decision.trace_id, d.decision.policy, d.votes) for d in decided.traces]
    no, yes = Vote.NOT_SAMPLED, Vote.SAMPLED
    assert told == [
        (trace_id_of(2), "", [("errors", no), ("slow", no)]),
        (trace_id_of(1), "errors", [("errors", yes), ("slow", no)]),
    ]


def test_a_trace_in_several_messages_is_one_trace() -> None:
    first, second = a_trace(5, spans=2)

    decided = decide(SETTINGS, [traces_data(first), FAILED, traces_data(second)])

    assert [d.decision.spans for d in decided.traces] == [2, 1]


def test_what_cannot_be_read_is_told_and_stops_nothing() -> None:
    decided = decide(SETTINGS, [b"\xff", FAILED])

    assert [bad.reason for bad in decided.bad] == [DeadLetterReason.MALFORMED]
    assert len(decided.traces) == 1


def test_a_limit_decides_before_the_end_and_the_rest_is_late() -> None:
    settings = checked({"tail_sampling": {"policies": POLICIES}, "limits": {"trace_spans_max": 2}})
    spans = a_trace(7, spans=3)

    (decided,) = decide(settings, [traces_data(span) for span in spans]).traces

    assert (decided.decision.trigger, decided.late_spans) == (Trigger.SPAN_LIMIT, 1)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(prefixed(FAILED, FINE), id="length-prefixed protobuf"),
        pytest.param(as_json(FAILED) + b"\n\n" + as_json(FINE) + b"\n", id="JSON lines"),
        pytest.param(FAILED + FINE, id="one bare message"),
        pytest.param(pretty(FAILED) + b"\n\n" + pretty(FINE) + b"\n", id="JSON over several lines"),
        pytest.param(b"\n " + pretty(FAILED) + pretty(FINE), id="JSON without a line between"),
    ],
)
def test_every_format_of_the_file_exporter_gives_the_same_decisions(content: bytes) -> None:
    decided = decide(SETTINGS, messages(content))

    assert {d.decision.trace_id: d.decision.policy for d in decided.traces} == {
        trace_id_of(1): "errors",
        trace_id_of(2): "",
    }


@pytest.mark.parametrize("content", [prefixed(FAILED)[:-1], b"hello", b"\0\0"])
def test_a_file_that_is_cut_short_or_something_else_is_refused(content: bytes) -> None:
    with pytest.raises(Malformed, match="at byte 0"):
        list(messages(content))


@pytest.mark.parametrize("first", [b'{"resourceSpans": [', as_json(FINE) + b"\nnone", b'{"a'])
def test_a_bad_line_among_json_lines_is_one_bad_message(first: bytes) -> None:
    decided = decide(SETTINGS, messages(first + b"\n" + as_json(FAILED)))

    assert [bad.reason for bad in decided.bad] == [DeadLetterReason.MALFORMED]
    assert trace_id_of(1) in {one.decision.trace_id for one in decided.traces}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (pretty(FAILED)[:-2], "no JSON at line"),
        (pretty(FAILED) + b"\n]", "no JSON at line"),
        (b'{\n"' + b"\xff" + b'": 1}', "not UTF-8 at byte 3"),
        (b'{"a":\n' + b"[" * 100_000, "nested too deep"),
    ],
    ids=["cut", "more", "no text", "deep"],
)
def test_json_over_several_lines_that_cannot_be_read_is_refused_once(
    content: bytes, told: str
) -> None:
    with pytest.raises(Malformed, match=told):
        list(messages(content))


def test_the_command_tells_what_is_not_decided_once_a_reason(tmp_path: Path) -> None:
    (traces := tmp_path / "t.json").write_bytes(b"{bad}\n{bad}\n" + as_json(FINE))

    result = CliRunner().invoke(main, ["decide", str(traces)])

    assert result.stderr == "2 spans not decided: malformed\n"


def test_an_empty_file_holds_no_message() -> None:
    assert list(messages(b"")) == []


def test_the_command_prints_one_json_line_a_trace(tmp_path: Path) -> None:
    config, traces = tmp_path / "c.yaml", tmp_path / "t.bin"
    config.write_text(json.dumps({"tail_sampling": {"policies": POLICIES}}))
    traces.write_bytes(prefixed(FAILED))

    result = CliRunner().invoke(
        main, ["decide", "--config", str(config), "--json", str(traces)], catch_exceptions=False
    )

    assert json.loads(result.stdout) == {
        "trace_id": trace_id_of(1).hex(),
        "verdict": "sampled",
        "policy": "errors",
        "trigger": "decision_wait",
        "votes": {"errors": "sampled", "slow": "not_sampled"},
    }


def test_the_command_reads_standard_input_and_sums_up_by_policy(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"tail_sampling": {"policies": POLICIES}}))

    result = CliRunner().invoke(
        main, ["decide", "--config", str(config), "-"], input=prefixed(FAILED, FINE)
    )

    summary = result.output[result.output.index("by policy") :]
    assert result.exit_code == 0
    assert "errors" in summary
    assert "75.0%" in summary


def test_a_policy_that_failed_is_told_and_one_whose_error_is_ignored_is_not(tmp_path: Path) -> None:
    config, traces = tmp_path / "c.yaml", tmp_path / "t.bin"
    condition = "{span: ['1 / span.attributes[\"of\"] > 1'], error_mode"
    fails = f"type: ottl_condition, ottl_condition: {condition}"
    config.write_text(
        f"tail_sampling: {{policies: [{{name: broken, {fails}: propagate}}}}, "
        f"{{name: lenient, {fails}: ignore}}}}, {{name: all, type: always_sample}}]}}"
    )
    traces.write_bytes(traces_data(a_span(attributes={"of": 0})))
    result = CliRunner().invoke(main, ["decide", "--config", str(config), str(traces)])
    assert "broken failed, all" in result.output
    assert "lenient" not in result.output


def test_a_file_that_is_not_there_is_named() -> None:
    result = CliRunner().invoke(main, ["decide", "nowhere.bin"])

    assert result.exit_code == 1
    assert "nowhere.bin" in result.output


def test_every_late_span_of_a_giant_is_counted_however_many_deliveries_it_takes() -> None:
    settings = checked({"tail_sampling": {"policies": POLICIES}, "limits": {"trace_spans_max": 10}})
    content = traces_data(*a_trace(2, spans=4_000))
    (decided,) = decide(settings, [content] * 6).traces
    assert (decided.decision.spans, decided.late_spans) == (4_000, 20_000)


HOSTILE = ["[/x]", "[red]x[/]", "a\x1b[31m", "two\nlines", "\u202eback", "n" * 300]


@pytest.mark.parametrize("command", ["decide", "validate"])
def test_a_policys_name_is_printed_as_it_is_and_obeyed_by_nobody(
    command: str, tmp_path: Path
) -> None:
    config, traces = tmp_path / "c.yaml", tmp_path / "t.bin"
    policies = [{"name": name, "type": "always_sample"} for name in HOSTILE]
    config.write_text(json.dumps({"tail_sampling": {"policies": policies}}))
    traces.write_bytes(FAILED)
    files = [str(traces)] if command == "decide" else []

    result = CliRunner().invoke(
        main, [command, "--config", str(config), *files], catch_exceptions=False
    )

    assert result.exit_code == 0
    assert result.output.replace("\n", "").isprintable()
    for shown in ("[/x]", "[red]x[/]", r"a\u001b[31m", r"two\nlines", r"\u202eback"):
        assert shown in result.output
