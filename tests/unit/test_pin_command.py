"""`tailstream pin` before it meets a broker: which ids it takes, what it refuses and how."""

import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream.cli import main
from stream.cli.parameters import trace_id_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
NO_BROKER = ("--set", "kafka.bootstrap.servers=127.0.0.1:1")


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["pin", *NO_BROKER, *arguments], input=stdin)


@pytest.mark.parametrize(
    "text",
    [TRACE, TRACE.upper(), str(uuid.UUID(TRACE)), PARENT, f" {PARENT}\n", f"cc-{PARENT[3:]}-more"],
)
def test_an_id_is_taken_from_its_digits_a_uuid_and_a_traceparent(text: str) -> None:
    assert trace_id_of(text) == TRACE


@pytest.mark.parametrize(
    "text",
    ["", "abc", TRACE[:-1], TRACE + "0", "0" * 32, "g" * 32, f"ff-{PARENT[3:]}", PARENT[:-1]],
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert trace_id_of(text) is None


def test_ids_that_are_none_are_all_named_and_nothing_is_pinned() -> None:
    result = run(TRACE, "abc", "-", stdin=f"{'0' * 32}\n\n{TRACE}\nno id\x1b[2J\n")

    assert result.exit_code == 2
    said = result.stderr
    for bad in ("'abc' is no trace id", f"'{'0' * 32}' is", r"'no id\\u001b[2J' is"):
        assert bad in said
    assert "nothing was pinned" in said
    assert "bootstrap" not in said, "it looked for a broker"


def test_bytes_that_are_no_text_are_refused_as_no_id() -> None:
    result = run("-", stdin=b"\xff\xfe\n")
    assert (result.exit_code, "is no trace id" in result.stderr) == (2, True)


def test_of_many_bad_ids_the_first_are_told() -> None:
    result = run("-", stdin="".join(f"bad{number}\n" for number in range(1_000)))
    assert "bad19" in result.stderr
    assert "bad20" not in result.stderr
    assert "and 980 more" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        ((), None, "Missing argument"),
        (("-",), "", "no trace id on standard input"),
        ((TRACE, "--ttl", "soon"), None, "write e.g. 90s"),
        ((TRACE, "--ttl", "0s"), None, "not above 0s"),
        ((TRACE, "--ttl", "500000h"), None, "--ttl"),
        ((TRACE, "--source", ""), None, "--source"),
        ((TRACE, "--source", "ü" * 65), None, "130 bytes"),
        ((TRACE,), None, "no broker there can be used"),
    ],
)
def test_mistakes_are_told_with_exit_code_2(
    arguments: tuple[str, ...], stdin: str | None, said: str
) -> None:
    result = run(*arguments, stdin=stdin)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_exemplars_without_a_source_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("exemplars: {kafka: false}")
    result = CliRunner().invoke(main, ["exemplars", "--config", str(path)])
    assert result.exit_code == 2
    assert "exemplars.kafka = false: there is nothing to read; set it to true" in result.stderr
