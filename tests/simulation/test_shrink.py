"""A failure comes with the shortest list of steps that still fails."""

import pytest

from tests.simulation import planted
from tests.simulation.bug import BUGS, hunt
from tests.simulation.shrink import shrunk
from tests.simulation.simulation import Run, Simulation
from tests.simulation.steps import Step

SHOWN = (
    "the resume offset ignores what is undelivered",
    "decisions are not restored",
    "a commit without an answer is taken for an abort",
    "the group fences nobody",
)


def caught(name: str) -> tuple[Simulation, Run]:
    assert name in BUGS, planted.PLANTED
    found = hunt(name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_left_of_a_failing_run_is_short_and_still_fails(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation, run = caught(name)
    BUGS[name](monkeypatch)
    steps = shrunk(simulation, run)
    assert len(steps) < 60
    assert len(steps) < len(run.steps) / 3
    assert simulation.replay(steps).law == run.law
    assert len(simulation.in_words(steps).splitlines()) <= len(steps)


def test_the_same_failure_always_leaves_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation, run = caught(SHOWN[0])
    BUGS[SHOWN[0]](monkeypatch)
    assert shrunk(simulation, run) == shrunk(simulation, run)


def test_no_step_that_is_left_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation, run = caught(SHOWN[0])
    BUGS[SHOWN[0]](monkeypatch)
    steps = shrunk(simulation, run)
    for at in range(len(steps)):
        assert simulation.replay(steps[:at] + steps[at + 1 :]).law != run.law


def test_shrinking_ends_when_its_attempts_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation, run = caught(SHOWN[0])
    BUGS[SHOWN[0]](monkeypatch)
    left = shrunk(simulation, run, attempts_max=5)
    assert len(left) > len(shrunk(simulation, run))
    assert simulation.replay(left).law == run.law


def test_every_step_can_be_said_in_words() -> None:
    simulation = Simulation(1)
    story = simulation.in_words([Step("crash", 1), Step("crash", 1), Step("arrive")])
    assert story.splitlines()[0] == "  slot 1 is killed, 2 times"
    assert "partition 0: a record at" in story
