"""`tailstream init --from`: a Collector's file taken over, and what it says of it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream.cli import main

TWO = """
processors:
  batch: {}
  tail_sampling/prod:
    policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]
  tail_sampling/staging:
    policies: [{name: all, type: always_sample}]
"""


def init(source: Path, text: str, *options: str, **environment: str) -> Result:
    source.write_text(text, encoding="utf-8")
    command = ["init", "--from", str(source), *options, "-"]
    return CliRunner().invoke(main, command, env=environment)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "otelcol.yaml"


def test_of_several_blocks_the_one_that_is_named_is_taken(source: Path) -> None:
    result = init(source, TWO, "--processor", "tail_sampling/staging")

    assert result.exit_code == 0, result.stderr
    assert "- {name: all, type: always_sample}" in result.stdout
    assert "errors" not in result.stdout.partition("tail_sampling:")[2].partition("decisions:")[0]


def test_without_a_name_several_are_refused_with_the_option_that_chooses(source: Path) -> None:
    result = init(source, TWO)

    assert result.exit_code == 2
    assert "has several tail_sampling blocks: tail_sampling/prod, tail_sampling/staging" in (
        result.stderr
    )
    assert "tailstream init --from FILE --processor tail_sampling/prod" in result.stderr


@pytest.mark.parametrize("name", ["batch", "tail_sampling"])
def test_a_name_of_no_such_block_is_answered_with_those_that_are(source: Path, name: str) -> None:
    result = init(source, TWO, "--processor", name)

    assert result.exit_code == 2
    assert f'--processor = "{name}": no tail_sampling block of that name' in result.stderr
    assert "choose one of tail_sampling/prod, tail_sampling/staging" in result.stderr


def test_a_name_without_a_file_is_a_mistake(source: Path) -> None:
    del source
    result = CliRunner().invoke(main, ["init", "--processor", "tail_sampling/prod", "-"])

    assert result.exit_code == 2
    assert "--processor" in result.stderr
    assert "--from" in result.stderr


def test_what_validate_would_refuse_is_said_at_once_and_above_the_policy(source: Path) -> None:
    text = """
processors:
  tail_sampling:
    decision_wait: 15m
    decision_wait_after_root_received: 5 parsecs
    policies:
      - {name: slow, type: latency, latency: {threshhold_ms: 2000}}
      - {name: share, type: probabilistic, probabilistic: {sampling_percentage: "${env:SHARE}"}}
      - {name: all, type: always_sample}
"""
    result = init(source, text)

    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    above = {
        name: " ".join(lines[at - 3 : at]).rpartition("- {name")[2]
        for name in ("slow", "share", "all")
        for at, line in enumerate(lines)
        if line.startswith(f"- {{name: {name},")
    }
    assert "stops the start: no such setting" in above["slow"]
    assert "stops the start: the environment variable SHARE is not set" in above["share"]
    assert above["all"].endswith("# honoured")
    stops = [line for line in result.stderr.splitlines() if line.startswith("stops the start: ")]
    assert [line.split(" = ")[0].removeprefix("stops the start: ") for line in stops] == [
        "tail_sampling.policies[1] (share).probabilistic.sampling_percentage",
        "tail_sampling.decision_wait_after_root_received",
        "tail_sampling.policies[0] (slow).latency.threshhold_ms",
    ]


def test_a_variable_that_is_set_stops_no_start(source: Path) -> None:
    text = """
processors:
  tail_sampling:
    policies:
      - {name: share, type: probabilistic, probabilistic: {sampling_percentage: "${env:SHARE}"}}
"""
    result = init(source, text, SHARE="5")

    assert "stops the start" not in result.stderr
    assert "sampling_percentage: '${env:SHARE}'" in result.stdout


def test_what_one_setting_demands_of_another_is_said_too(source: Path) -> None:
    text = "processors: {tail_sampling: {decision_wait: 15m}}"

    assert "stops the start: decisions.retention" in init(source, text).stderr


@pytest.mark.parametrize(
    "text",
    [
        "processors: {tail_sampling: '${file:tail.yaml}'}",
        "processors: '${file:tail.yaml}'",
        "processors: {tail_sampling: {policies: '${file:tail.yaml}'}}",
    ],
)
def test_what_stands_in_another_file_is_to_be_pasted(source: Path, text: str) -> None:
    result = init(source, text)

    assert "${file:tail.yaml}" in result.stderr
    assert "paste what it stands for" in result.stderr


def test_what_else_is_in_the_file_is_said_to_have_its_place_elsewhere(source: Path) -> None:
    text = """
receivers: {otlp: {}}
processors:
  k8sattributes: {}
  tail_sampling: {policies: [{name: all, type: always_sample}]}
  batch: {}
"""
    notes = init(source, text).stderr.splitlines()

    assert notes[0] == "note: processors.tail_sampling: taken from the Collector's file"
    assert notes[1].startswith("note: processors: not used: k8sattributes, batch: ")
    assert "before tail_sampling" in notes[1]
    assert notes[2].startswith("note: receivers: not used: ")
