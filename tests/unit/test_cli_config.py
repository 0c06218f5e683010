"""The commands about settings: validate, init, version; and what all commands share."""

import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from stream import compiled
from stream.cli import COMMANDS, Commands, main
from stream.settings.errors import Problem, SettingsError
from stream.settings.load import load

COLLECTOR = """
processors:
  tail_sampling:
    decision_wait: 10s
    num_traces: 100
    sampling_strategy: span-ingest
    made_up: 1
    policies:
      - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
      - {name: share, type: probabilistic,
         probabilistic: {sampling_percentage: "${env:PERCENT:-3}", hash_salt: "1e5"}}
      - {name: rate, type: rate_limiting, rate_limiting: {spans_per_second: 5}}
      - {name: odd, type: my_extension}
      - {name: never, type: drop, drop: {drop_sub_policy: [{name: s, type: y}]}}
      - {name: deep, type: and, and: {and_sub_policy: [
         {type: not, not: {not_sub_policy: {type: x}}}]}}
      - {name: fine, type: and, and: {and_sub_policy: [
         {type: not, not: {not_sub_policy: {type: always_sample}}}]}}
"""

SUPPORTED = """
processors:
  tail_sampling/only:
    decision_wait: 10s
    num_traces: 100
    policies:
      - {name: share, type: probabilistic,
         probabilistic: {sampling_percentage: "${env:PERCENT:-3}", hash_salt: "1e5"}}
"""


def run(*arguments: str, **environment: str) -> Result:
    empty = {"TAILSTREAM_CONFIG": None, "HOSTNAME": None, "KAFKA_BOOTSTRAP": None}
    return CliRunner().invoke(main, list(arguments), env={**empty, **environment})


def test_validate_prints_ok_the_notes_and_the_policies_in_their_order() -> None:
    policies = "[{name: all, type: always_sample}, {name: no, type: drop, drop: {drop_sub_policy: [\
{type: span_count, span_count: {min_spans: 5}}]}}]"
    result = run(
        "validate",
        *("--set", f"tail_sampling.policies={policies}", "--set", "tail_sampling.num_traces=5"),
    )
    assert result.exit_code == 0
    assert result.stderr == ""
    first, note, heading, *rows = result.stdout.splitlines()
    assert first.startswith("ok  (policies ")
    assert note.startswith("note: tail_sampling.num_traces: not needed here: ")
    assert heading == "policies, in the order they are evaluated:"
    assert rows == [
        "  1. no   drop           dropped: trace has at least 5 spans",
        "  2. all  always_sample  every trace",
    ]


def test_wrong_settings_go_to_stderr_one_line_each_with_exit_code_2() -> None:
    result = run("validate", "--set", "worker.grup=a", "--set", "web.port=0")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        'worker.grup = "a": no such setting; did you mean worker.group?',
        "web.port = 0: less than 1; set it to 1 or more",
    ]


@pytest.mark.parametrize("below", ["", "/a/b"])
def test_validate_refuses_a_storage_directory_where_a_file_is(tmp_path: Path, below: str) -> None:
    (file := tmp_path / "file").touch()
    result = run("validate", "--set", f"storage.directory={file}{below}")
    assert result.exit_code == 2
    assert result.stdout == ""
    which = f"{file} is" if below else "is"
    assert result.stderr == (
        f'storage.directory = "{file}{below}": {which} a file, not a directory; '
        "name a directory, this worker's own; what is not there is made\n"
    )


def test_validate_takes_a_storage_directory_that_can_be_made_and_makes_none(tmp_path: Path) -> None:
    assert run("validate", "--set", f"storage.directory={tmp_path}/a/b").exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_named_by_option_or_by_the_environment(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("tail_sampling: {policies: [{name: only, type: always_sample}]}")
    bad.write_text("worker: 5")
    assert "only" in run("validate", TAILSTREAM_CONFIG=str(good)).stdout
    assert "only" in run("validate", "--config", str(good), TAILSTREAM_CONFIG=str(bad)).stdout
    assert run("validate", TAILSTREAM_CONFIG=str(bad)).exit_code == 2
    missing = run("validate", "--config", str(tmp_path / "none.yaml"))
    assert missing.exit_code == 2
    assert "none.yaml: cannot be read: No such file" in missing.stderr


def test_what_init_writes_is_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "tailstream.yaml"
    result = run("init", str(path))
    assert result.exit_code == 0
    assert f"tailstream validate --config {path}" in result.stdout
    for environment in ({}, {"HOSTNAME": "pod-1", "KAFKA_BOOTSTRAP": "kafka:9092"}):
        written = load(path, [], environment)
        assert written == load(None, [], environment)
        assert written.notes() == []
    assert run("validate", "--config", str(path)).exit_code == 0


def test_init_names_every_setting_with_a_comment_above(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    run("init", str(path))
    lines = path.read_text(encoding="utf-8").splitlines()
    for section in ("worker", "topics", "decisions", "storage", "limits", "output", "web", "log"):
        start = lines.index(f"{section}:")
        block = lines[start + 1 : [*lines, ""].index("", start)]
        assert block[0].startswith("  # ")
        assert any(not line.startswith("  #") for line in block)
    assert "  idle_grace: 500ms" in lines
    assert "  instance_id: ${env:HOSTNAME:-worker-0}" in lines
    assert max(map(len, lines)) <= 100


def test_init_writes_to_stdout_for_a_dash() -> None:
    result = run("init", "-")
    assert result.stdout.startswith("# Settings of Tailstream")
    assert result.stderr == ""


def test_init_overwrites_only_when_forced(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("mine")
    refused = run("init", str(path))
    assert refused.exit_code == 2
    assert "is there already; choose another name, or overwrite it with --force" in refused.stderr
    assert path.read_text() == "mine"
    assert run("init", "--force", str(path)).exit_code == 0
    assert path.read_text() != "mine"
    nowhere = run("init", str(tmp_path / "no" / "t.yaml"))
    assert nowhere.exit_code == 2
    assert "cannot be written: No such file or directory" in nowhere.stderr


def test_init_from_a_collectors_file_says_of_each_option_what_becomes_of_it(
    tmp_path: Path,
) -> None:
    source = tmp_path / "otelcol.yaml"
    source.write_text(COLLECTOR)
    result = run("init", "--from", str(source), "-")
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    odd = "# stops the start: no such type of policy; supported are always_sample, and,"
    for setting, above in (
        ("decision_wait: 10s", "# honoured"),
        ("num_traces: 100", "# not needed here: limits.open_traces_max"),
        ("sampling_strategy: span-ingest", "# honoured"),
        ("made_up: 1", "# stops the start: no such setting;"),
        ("- {name: errors,", "# honoured"),
        ("- {name: share,", "# honoured"),
        ("- {name: rate,", "# honoured"),
        ("- {name: odd,", odd),
        ("- {name: never,", odd),
        ("- {name: deep,", odd),
        ("- {name: fine,", "# honoured"),
    ):
        (at,) = [index for index, line in enumerate(lines) if line.startswith(setting)]
        comments = takewhile(lambda line: line.startswith("# "), reversed(lines[:at]))
        assert any(comment.startswith(above) for comment in comments), setting
    note, *stops = result.stderr.splitlines()
    assert note == "note: processors.tail_sampling: taken from the Collector's file"
    assert [line.split(" = ")[0] for line in stops] == [
        f"stops the start: tail_sampling.{place}"
        for place in (
            "policies[3] (odd).type",
            "policies[4] (never).drop.drop_sub_policy[0].type",
            "policies[5] (deep).and.and_sub_policy[0].not.not_sub_policy.type",
            "made_up",
        )
    ]


def test_what_stops_the_start_is_said_after_all_else_and_is_no_failure_of_init(
    tmp_path: Path,
) -> None:
    source, path = tmp_path / "otelcol.yaml", tmp_path / "t.yaml"
    source.write_text(COLLECTOR)
    result = run("init", "--from", str(source), str(path))
    assert result.exit_code == 0
    first, *said = result.output.splitlines()
    assert first.startswith(f"Wrote {path}. Next: mend what stops the start (below), then ")
    assert said == result.stderr.splitlines()
    assert said[1].startswith(
        'stops the start: tail_sampling.policies[3] (odd).type = "my_extension": '
        "no such type of policy"
    )


def test_the_version_is_said_on_a_line() -> None:
    result = run("--version")
    assert result.exit_code == 0
    said, known = (each.stdout.splitlines()[0].split() for each in (result, run("version")))
    assert said == known


def test_what_init_takes_over_loads_as_the_collectors_file_itself_does(tmp_path: Path) -> None:
    source, path = tmp_path / "otelcol.yaml", tmp_path / "t.yaml"
    source.write_text(SUPPORTED)
    assert "stops the start" not in run("init", "--from", str(source), str(path)).stderr
    for environment in ({}, {"PERCENT": "7.5"}):
        taken, direct = load(path, [], environment), load(source, [], environment)
        assert taken.tail_sampling == direct.tail_sampling
        assert taken.policies_hash() == direct.policies_hash()
    assert "${env:PERCENT:-3}" in path.read_text(encoding="utf-8")


def test_init_from_a_file_without_the_block_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "other.yaml"
    source.write_text("worker: {group: a}")
    result = run("init", "--from", str(source), "-")
    assert result.exit_code == 2
    assert "other.yaml: has no tail_sampling block; give a file with" in result.stderr


def test_settings_that_turn_out_wrong_while_a_command_runs_are_the_operators_too() -> None:
    class One(Commands):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            del ctx

            def refuse() -> None:
                raise SettingsError([Problem("topics.input", "t", "not there", "create it")])

            return click.Command(cmd_name, callback=refuse)

    result = CliRunner().invoke(One("main"), ["worker"])
    assert result.exit_code == 2
    assert result.stderr == 'topics.input = "t": not there; create it\n'


def test_version_says_what_is_installed() -> None:
    result = run("version")
    assert result.exit_code == 0
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert names == ["tailstream", "python", "librdkafka", "faust", "rocksdict", "core"]
    assert f"core        {compiled.core()}" in result.stdout


@pytest.mark.parametrize("arguments", [["version"], ["--help"]])
def test_version_and_help_import_neither_faust_nor_kafka_nor_pydantic(
    arguments: list[str],
) -> None:
    script = f"""
import sys
from stream.cli import main
main({arguments!r}, standalone_mode=False)
print(sorted({{"faust", "confluent_kafka", "rocksdict", "pydantic"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_lists_every_command_in_its_order() -> None:
    text = run("--help").stdout
    places = [text.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    result = run("valdate")
    assert result.exit_code == 2
    assert "No such command 'valdate'. Did you mean 'validate'?" in result.stderr
    assert "No such command 'zzz'" in run("zzz").stderr
