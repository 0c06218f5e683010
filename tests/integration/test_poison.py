"""A record that kills the scanner costs two deaths of the worker, and nothing else."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.harness import deadly_scan
from tests.harness.children import Child
from tests.harness.large_topics import Given, send_all
from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import Topics, wait_for
from tests.harness.verify import (
    decisions_complete,
    nothing_missing_and_nothing_twice,
    read_back,
    whole_and_unchanged,
)
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=1000, slow_ms=1000, percentage=5)
DEATHS_MAX = 2


class MortalWorker(WorkerProcess):
    """A worker whose scanner dies of certain records."""

    def start(self) -> None:
        config = self._home / "tailstream.yaml"
        config.write_text(yaml.safe_dump(self._settings()))
        command = [sys.executable, "-m", "tests.harness.deadly_scan", str(config)]
        self._child = Child(command, log=self._home / "worker.log", env=dict(os.environ))

    def dead_letters(self) -> dict[str, float]:
        """Return how many it wrote, by reason."""
        return dict(self.samples("tailstream_dead_letters_total", "reason"))


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[MortalWorker]:
    mortal = MortalWorker(topics, RULES, tmp_path, slot="mortal")
    yield mortal
    mortal.close()


@pytest.mark.parametrize(
    ("poison", "exit_code"),
    [(deadly_scan.ABORTS, -6), (deadly_scan.RAISES, 70)],
    ids=["a crash", "an exception"],
)
def test_what_kills_the_scanner_is_a_dead_letter_after_two_deaths_and_nothing_else_is_harmed(
    topics: Topics, worker: MortalWorker, poison: bytes, exit_code: int
) -> None:
    worker.start()
    worker.wait_until_ready()
    load = Load(spans=10_000, duration_s=4, late_after_s=1.4).records()
    sender = Sender(topics.bootstrap, topics.input, load)
    sender.start()
    wait_for("half of the load", lambda: sender.share_sent >= 0.5, timeout_s=60)
    send_all(topics, [Given(b"\xff" + poison, b"poison", partition=3)])
    sender.finish()

    deaths = revive_until_all_is_decided(topics, worker, exit_code)
    letters = worker.dead_letters().get("poison")
    worker.terminate()

    assert deaths == DEATHS_MAX
    assert letters == 1
    written = read_back(topics)
    (dead,) = [r for r in written.dead_letters if r.headers["tailstream.reason"] == b"poison"]
    (stored,) = [r for r in written.input if poison in r.value]
    assert dead.value == stored.value
    assert (dead.headers["tailstream.partition"], dead.headers["tailstream.offset"]) == (
        b"%d" % stored.partition,
        b"%d" % stored.offset,
    )
    expectation = written.expectation(RULES)
    nothing_missing_and_nothing_twice(written, expectation)
    whole_and_unchanged(written, expectation, RULES)
    decisions_complete(written, expectation)


def revive_until_all_is_decided(topics: Topics, worker: MortalWorker, exit_code: int) -> int:
    """Be the supervisor; return how often the worker died."""
    for deaths in range(DEATHS_MAX + 2):
        try:
            wait_until_all_is_decided(topics, [worker])
        except AssertionError:
            assert worker.ended() == exit_code, worker.log_tail()
            worker.forget()
            worker.start()
        else:
            return deaths
    pytest.fail(f"{DEATHS_MAX + 2} deaths and no end:\n{worker.log_tail()}")
