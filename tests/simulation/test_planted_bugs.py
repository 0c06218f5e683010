"""The simulator bites: a rule switched off is found by some seed among the first ones.

`python -m tests.simulation.planted` prints which law finds which bug, and at which seed.
"""

import pytest

from tests.simulation.bug import BUGS, SEEDS, hunt
from tests.simulation.planted import PLANTED
from tests.simulation.simulation import Simulation


def test_every_file_of_bugs_is_planted() -> None:
    planted = {plant.__module__ for plant in BUGS.values()}
    assert planted == {module.__name__ for module in PLANTED}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    found = hunt(name)
    assert found is not None, f"{SEEDS} seeds did not find it"
    simulation, run = found
    print(f"{name}: {run.law}, seed {simulation.seed}")


def test_nothing_is_found_where_nothing_is_planted() -> None:
    assert [seed for seed in range(1, 31) if Simulation(seed).run().broken] == []
