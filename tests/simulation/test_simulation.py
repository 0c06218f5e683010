"""Seeds by the thousand: whatever happens, the laws hold. `make sim SEED=1 SEEDS=2000` runs more.

A seed that breaks a law is printed with the shortest list of steps that still does.
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from stream.sampling.decision import Clock, Trigger
from stream.sampling.stores import SpanStore
from stream.state.memory import MemorySpanStore
from stream.state.rocksdb import RocksDB
from stream.state.spill import Budget, SpillingSpanStore
from stream.testing.log import DECISIONS
from tests.simulation.faults import OF_A_PROCESS, OF_THE_WORLD
from tests.simulation.shape import OpenSpans
from tests.simulation.shrink import shrunk
from tests.simulation.simulation import Run, Simulation

FIRST = int(os.environ.get("SEED") or 1)
SEEDS = int(os.environ.get("SEEDS") or 1_000)
RUNS = 50
SPILLS = 20  # every so manieth seed spills


@pytest.fixture(scope="module")
def spill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSpans]:
    """Give a function that opens stores which spill nearly everything, all in one database."""
    db = RocksDB(tmp_path_factory.mktemp("simulation"), memory_bytes=8 << 20)
    opened = 0

    def open_spans() -> SpanStore:
        nonlocal opened
        opened += 1
        return SpillingSpanStore(Budget(600), db, opened)

    yield open_spans
    db.close()


def run(seed: int, spill: OpenSpans) -> Run:
    """Run a seed and hold it against the laws."""
    simulation = Simulation(seed, open_spans=MemorySpanStore if seed % SPILLS else spill)
    found = simulation.run()
    if found.broken:
        steps = shrunk(simulation, found)
        again = simulation.replay(steps)
        broken = "\n".join(f"{one.law}: {one.how}" for one in (again.broken or found.broken)[:5])
        pytest.fail(
            f"make sim SEED={seed} SEEDS=1\n{broken}\n{simulation.shape}\n"
            f"{len(steps)} of {len(found.steps)} steps:\n{simulation.in_words(steps)}",
            pytrace=False,
        )
    return found


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, RUNS))
def test_the_laws_hold_whatever_happens(first: int, spill: OpenSpans) -> None:
    for seed in range(first, min(first + RUNS, FIRST + SEEDS)):
        run(seed, spill)


def test_a_seed_always_gives_the_same_run(spill: OpenSpans) -> None:
    first, again = run(7, spill), run(7, spill)
    assert first.steps == again.steps
    assert written(first) == written(again)


def test_the_steps_of_a_run_always_give_the_same_run() -> None:
    for seed in (3, 4, 5):
        simulation = Simulation(seed)
        first = simulation.run()
        again = simulation.replay(first.steps)
        assert first.steps == again.steps
        assert written(first) == written(again)


def written(run: Run) -> list[list[bytes]]:
    return [[r.value for r in log.committed()] for log in run.world.broker.topics[DECISIONS]]


def test_the_simulation_has_everything_in_it_that_it_is_about(spill: OpenSpans) -> None:
    seen: Counter[str] = Counter()
    for seed in range(1, 161):
        seen.update(seen_in(run(seed, spill)))
    wanted = {
        *OF_A_PROCESS,
        *OF_THE_WORLD,
        *(set(Trigger) - {Trigger.DISK_LIMIT}),
        *Clock,
        *("duplicates", "dead-lettered", "aborted", "malformed", "empty", "undeliverable"),
        *("clamped", "replayed", "released", "lost", "forgotten", "aborted by a stranger"),
        *("static", "at least once", "stamped by producers"),
    }
    assert {what: seen[what] for what in wanted if seen[what] < 5} == {}


def seen_in(run: Run) -> Counter[str]:
    world, excused = run.world, run.world.watch.excused
    seen = Counter(step.what for step in run.steps)
    seen["static"] += world.shape.static
    seen["at least once"] += not world.shape.transactional
    seen["stamped by producers"] += world.shape.create_time
    seen["lost"] += any(excused.lost.values())
    seen["forgotten"] += any(excused.forgotten.values())
    seen.update(world.watch.seen)
    for number, log in enumerate(world.broker.topics[DECISIONS]):
        for decision in world.watch.published.decisions(number):
            seen.update((decision.trigger, decision.clock, decision.verdict))
            seen["duplicates"] += decision.duplicates
            seen["dead-lettered"] += decision.dead_lettered
        seen["aborted"] += sum(not (r.visible or r.marker) for r in log.records)
    seen["aborted by a stranger"] += sum(
        not (r.visible or r.marker) for log in world.broker.topics["input"] for r in log.records
    )
    seen.update(reason for _, _, reason in world.watch.published.dead_letters())
    return seen
