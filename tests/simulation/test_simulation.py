"""Seeds by the thousand: whatever happens, the laws hold. `make sim SEED=1 SEEDS=2000` runs more.

A seed that breaks a law is printed with the shortest list of steps that still does.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from stream.otlp.fragment import SPAN_ID_BYTES
from stream.sampling.decision import Clock, Trigger, Verdict
from stream.state import rocksdb
from stream.testing.log import DECISIONS
from tests.simulation.faults import OF_A_PROCESS, OF_THE_WORLD
from tests.simulation.shrink import shrunk
from tests.simulation.simulation import Run, Simulation

FIRST = int(os.environ.get("SEED") or 1)
SEEDS = int(os.environ.get("SEEDS") or 1_000)
RUNS = 50
SPILLS = 20  # every so manieth seed spills


def run(seed: int, directory: Path) -> Run:
    """Run a seed and hold it against the laws."""
    simulation = Simulation(seed, directory=None if seed % SPILLS else directory / str(seed))
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
def test_the_laws_hold_whatever_happens(first: int, tmp_path: Path) -> None:
    for seed in range(first, min(first + RUNS, FIRST + SEEDS)):
        run(seed, tmp_path)


def test_a_seed_always_gives_the_same_run(tmp_path: Path) -> None:
    first, again = run(7, tmp_path), run(7, tmp_path)
    assert first.steps == again.steps
    assert written(first) == written(again)


def test_the_steps_of_a_run_always_give_the_same_run() -> None:
    for seed in (3, 4, 5):
        simulation = Simulation(seed)
        first = simulation.run()
        again = simulation.replay(first.steps)
        assert first.steps == again.steps
        assert written(first) == written(again)


def test_a_disk_that_is_not_wiped_at_the_start_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rocksdb, "wipe", lambda _: None)
    seeds = range(SPILLS, 20 * SPILLS, SPILLS)
    assert any(Simulation(seed, directory=tmp_path / str(seed)).run().broken for seed in seeds)


def written(run: Run) -> list[list[bytes]]:
    return [[r.value for r in log.committed()] for log in run.world.broker.topics[DECISIONS]]


def test_the_simulation_has_everything_in_it_that_it_is_about(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in (*range(1, 201), *range(180, 500, SPILLS)):
        seen.update(seen_in(run(seed, tmp_path)))
    wanted = {
        *(OF_A_PROCESS.keys() | OF_THE_WORLD.keys()),
        *(set(Trigger) - {Trigger.DISK_LIMIT}),
        *(*Clock, *Verdict),
        *("duplicates", "dead-lettered", "aborted", "malformed", "empty", "undeliverable"),
        *("clamped", "replayed", "released", "lost", "forgotten", "aborted by a stranger"),
        *("static", "at least once", "stamped by producers", "one id of client and server"),
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
        seen["one id of client and server"] += sum(
            len({half[:SPAN_ID_BYTES] for half in halves}) < len(halves)
            for halves in world.watch.published.output(number).values()
        )
        seen["aborted"] += sum(not (r.visible or r.marker) for r in log.records)
    seen["aborted by a stranger"] += sum(
        not (r.visible or r.marker) for log in world.broker.topics["input"] for r in log.records
    )
    seen.update(reason for _, _, reason in world.watch.published.dead_letters())
    return seen
