"""Which law finds which planted bug, and at which seed: `python -m tests.simulation.planted`.

A name, or a part of one, as argument shows one bug's shortest list of steps.
"""

import sys

import pytest

from stream import compiled
from tests.simulation import (
    bugs_of_fences,
    bugs_of_pins,
    bugs_of_restores,
    bugs_of_the_core,
    bugs_of_the_worker,
)
from tests.simulation.bug import BUGS, hunt
from tests.simulation.shape import small_sizes
from tests.simulation.shrink import shrunk

PLANTED = (bugs_of_the_core, bugs_of_the_worker, bugs_of_restores, bugs_of_fences, bugs_of_pins)


def row(name: str) -> str:
    """Return the line of the table for one bug."""
    found = hunt(name)
    if found is None:
        return f"{name:<66} NOT FOUND"
    simulation, run = found
    return f"{name:<66} {run.law:<22} seed {simulation.seed}"


def story(name: str) -> str:
    """Return the shortest list of steps that shows a bug."""
    found = hunt(name)
    if found is None:
        return f"{name}: not found"
    simulation, run = found
    with pytest.MonkeyPatch.context() as patch:
        small_sizes(patch)
        # They are planted in Python.
        patch.setattr(compiled, "RUNS", False)
        BUGS[name](patch)
        steps = shrunk(simulation, run)
        broken = simulation.replay(steps).broken[0]
    head = f"{name}: seed {simulation.seed}, {len(steps)} of {len(run.steps)} steps"
    return f"{head}\n{broken.law}: {broken.how}\n{simulation.in_words(steps)}"


if __name__ == "__main__":
    asked = " ".join(sys.argv[1:])
    for one in BUGS:
        if asked in one:
            print(story(one) if asked else row(one), flush=True)
