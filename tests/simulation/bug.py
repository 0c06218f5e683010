"""Planted bugs: each switches off one rule, by name. `BUGS` holds those of the `bugs_of_` files."""

from collections.abc import Callable

import pytest

from stream import compiled
from tests.simulation.shape import small_sizes
from tests.simulation.simulation import Run, Simulation

SEEDS = 200
Patch = pytest.MonkeyPatch
BUGS: dict[str, Callable[[Patch], None]] = {}


def bug(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
    """Enter a bug under its name in words."""
    BUGS[plant.__name__.replace("_", " ")] = plant
    return plant


def hunt(name: str, seeds: int = SEEDS) -> tuple[Simulation, Run] | None:
    """Return the first seed that finds a bug and how its run went, None where none does."""
    with pytest.MonkeyPatch.context() as patch:
        small_sizes(patch)
        # They are planted in Python.
        patch.setattr(compiled, "RUNS", False)
        BUGS[name](patch)
        for seed in range(1, seeds + 1):
            simulation = Simulation(seed)
            run = simulation.run()
            if run.broken:
                return simulation, run
    return None
