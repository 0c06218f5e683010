"""Logs: one line an event, for machines where nobody looks."""

import json
import logging
from collections.abc import Iterator

import pytest

from stream import logs


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_off_a_terminal_each_event_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "auto")

    logs.logger("test").warning("lag grows", partition=3)

    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"], told["partition"]) == ("lag grows", "warning", 3)


def test_what_a_traceback_s_frames_hold_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    password = "s3cret"

    try:
        int("x" * len(password))
    except ValueError:
        logs.logger("test").exception("failed")

    told = capsys.readouterr().err
    assert "xxxxxx" in told
    assert "s3cret" not in told


def test_the_libraries_loggers_come_out_in_the_same_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "json")

    logging.getLogger("somebody").error("theirs")
    logging.getLogger("faust").info("not wanted")

    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "theirs"
