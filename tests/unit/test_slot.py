"""A slot that was fenced at its start."""

import os
from pathlib import Path

from stream.clock import monotonic_s, now_s
from stream.slot import SOON_S, WAIT_S, Slot


def test_a_start_right_after_an_early_fence_waits_once(tmp_path: Path) -> None:
    waited: list[float] = []
    Slot(tmp_path, "w-1").fenced()

    Slot(tmp_path, "w-1").wait(waited.append)
    Slot(tmp_path, "w-1").wait(waited.append)

    assert waited == [WAIT_S]


def test_a_first_start_does_not_wait(tmp_path: Path) -> None:
    waited: list[float] = []

    Slot(tmp_path / "new", "w-1").wait(waited.append)

    assert waited == []


def test_a_fence_long_ago_is_no_reason_to_wait(tmp_path: Path) -> None:
    waited: list[float] = []
    Slot(tmp_path, "w-1").fenced()
    (note,) = tmp_path.iterdir()
    long_ago_s = now_s() - SOON_S - 1
    os.utime(note, (long_ago_s, long_ago_s))

    Slot(tmp_path, "w-1").wait(waited.append)

    assert waited == []


def test_a_fence_after_a_long_run_is_not_noted(tmp_path: Path) -> None:
    Slot(tmp_path, "w-1", started_s=monotonic_s() - SOON_S - 1).fenced()

    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_was_given_another_slot_does_not_wait(tmp_path: Path) -> None:
    waited: list[float] = []
    Slot(tmp_path, "w-1").fenced()

    Slot(tmp_path, "w-2").wait(waited.append)

    assert waited == []


def test_a_fence_that_cannot_be_noted_does_not_hide_the_fence(tmp_path: Path) -> None:
    full = tmp_path / "a file where the directory was"
    full.touch()

    Slot(full, "w-1").fenced()

    assert full.is_file()
