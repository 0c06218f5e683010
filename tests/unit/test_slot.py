"""A slot that was fenced at its start."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream.clock import monotonic_s, now_s
from stream.slot import SOON_S, WAIT_S, Slot

FENCED = """
import sys
from pathlib import Path
from confluent_kafka import KafkaError, KafkaException
from stream import logs
from stream.failures import end_for
from stream.kafka.transactions import FencedError
from stream.slot import Slot
logs.configure("info", "json")
problem = {
    "transaction": FencedError("a newer producer"),
    "client": KafkaException(KafkaError(KafkaError._FENCED, "a newer producer")),
}[sys.argv[2]]
end_for(problem, Slot(Path(sys.argv[1]), "blue", "w-1"))
"""


@pytest.mark.parametrize("told_by", ["transaction", "client"])
def test_the_last_line_of_a_fenced_worker_names_its_slot_and_the_remedy(
    tmp_path: Path, told_by: str
) -> None:
    command = [sys.executable, "-c", FENCED, str(tmp_path), told_by]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    last = ended.stderr.splitlines()[-1]
    assert ended.returncode == 3
    assert "worker.instance_id 'w-1' of worker.group 'blue'" in last
    assert "a newer producer" in last
    assert "give every worker its own worker.instance_id" in last
    assert f"first waits {WAIT_S:g} s" in last
    assert (tmp_path / "fenced").exists()


def test_while_it_waits_the_pages_say_why(tmp_path: Path) -> None:
    told: list[str] = []

    @contextmanager
    def pages(why: str) -> Iterator[None]:
        told.append(why)
        yield
        told.append("no pages more")

    Slot(tmp_path, "group", "w-1").fenced()
    Slot(tmp_path, "group", "w-1").wait(lambda wait_s: told.append(f"{wait_s:g}"), pages=pages)

    why, waited, end = told
    assert f"waits {WAIT_S:g} s" in why
    assert "worker.instance_id 'w-1' of worker.group 'group'" in why
    assert (waited, end) == (f"{WAIT_S:g}", "no pages more")


def test_a_start_right_after_an_early_fence_waits_once(tmp_path: Path) -> None:
    waited: list[float] = []
    Slot(tmp_path, "group", "w-1").fenced()

    Slot(tmp_path, "group", "w-1").wait(waited.append)
    Slot(tmp_path, "group", "w-1").wait(waited.append)

    assert waited == [WAIT_S]


def test_a_first_start_does_not_wait(tmp_path: Path) -> None:
    waited: list[float] = []

    Slot(tmp_path / "new", "group", "w-1").wait(waited.append)

    assert waited == []


def test_a_fence_long_ago_is_no_reason_to_wait(tmp_path: Path) -> None:
    waited: list[float] = []
    Slot(tmp_path, "group", "w-1").fenced()
    (note,) = tmp_path.iterdir()
    long_ago_s = now_s() - SOON_S - 1
    os.utime(note, (long_ago_s, long_ago_s))

    Slot(tmp_path, "group", "w-1").wait(waited.append)

    assert waited == []


def test_a_fence_after_a_long_run_is_not_noted(tmp_path: Path) -> None:
    Slot(tmp_path, "group", "w-1", started_s=monotonic_s() - SOON_S - 1).fenced()

    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_was_given_another_slot_does_not_wait(tmp_path: Path) -> None:
    waited: list[float] = []
    Slot(tmp_path, "group", "w-1").fenced()

    Slot(tmp_path, "group", "w-2").wait(waited.append)

    assert waited == []


def test_a_fence_that_cannot_be_noted_does_not_hide_the_fence(tmp_path: Path) -> None:
    full = tmp_path / "a file where the directory was"
    full.touch()

    Slot(full, "group", "w-1").fenced()

    assert full.is_file()
