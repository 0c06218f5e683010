"""The shortest list of steps that still breaks the same law: delta debugging, with an end."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from tests.simulation.simulation import Run, Simulation
from tests.simulation.steps import Step

ATTEMPTS_MAX = 600
OF_A_PARTITION = {"arrive", "arrive_foreign", "end_foreign", "poll", "restore", "retain"}


def shrunk(simulation: Simulation, failed: Run, *, attempts_max: int = ATTEMPTS_MAX) -> list[Step]:
    """Return a list of steps that breaks the law that `failed` breaks, as short as was found.

    Without one of its steps it would hold, unless the attempts were used up before.
    """

    def fails(steps: Sequence[Step]) -> bool:
        return simulation.replay(steps).law == failed.law

    attempts = _Attempts(fails, attempts_max)
    steps = list(failed.steps)
    if not fails(steps):
        return steps
    for part in _concerns(steps):
        steps = attempts.without(steps, part)
    return _minimized(steps, attempts)


class _Attempts:
    """Replays that may still be made."""

    def __init__(self, fails: Callable[[Sequence[Step]], bool], left: int) -> None:
        self._fails = fails
        self.left = left

    def without(self, steps: list[Step], left_out: Callable[[Step], bool]) -> list[Step]:
        """Return the steps without these where that still fails, all of them otherwise."""
        fewer = [step for step in steps if not left_out(step)]
        return fewer if len(fewer) < len(steps) and self.fails(fewer) else steps

    def fails(self, steps: Sequence[Step]) -> bool:
        """Try a list; no list fails any more once the attempts are used up."""
        if not self.left:
            return False
        self.left -= 1
        return self._fails(steps)


def _concerns(steps: Sequence[Step]) -> Iterable[Callable[[Step], bool]]:
    """Whole concerns that may have nothing to do with it: a partition, a slot, a kind of step."""
    for number in sorted({step.number for step in steps}, reverse=True):
        yield partial(_of_a_partition, number)
    for slot in sorted({step.slot for step in steps}, reverse=True):
        yield partial(_of_a_slot, slot)
    for what in sorted({step.what for step in steps}):
        yield partial(_of_a_kind, what)


def _of_a_partition(number: int, step: Step) -> bool:
    return step.number == number and step.what in OF_A_PARTITION


def _of_a_slot(slot: int, step: Step) -> bool:
    return step.slot == slot and step.what not in OF_A_PARTITION


def _of_a_kind(what: str, step: Step) -> bool:
    return step.what == what


def _minimized(steps: list[Step], attempts: _Attempts) -> list[Step]:
    """Leave out ever smaller runs of steps, until not a single one can go."""
    size = max(1, len(steps) // 2)
    while attempts.left:
        at, before = 0, len(steps)
        while at < len(steps) and attempts.left:
            fewer = steps[:at] + steps[at + size :]
            if attempts.fails(fewer):
                steps = fewer
            else:
                at += size
        if size == 1 and len(steps) == before:
            break
        size = max(1, size // 2)
    return steps
