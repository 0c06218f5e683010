"""Seeds by the hundred: whatever happens, the laws hold. `make sim SEED=1 SEEDS=2000` runs more."""

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
from tests.simulation.laws import dead_letters, decisions
from tests.simulation.simulation import FAULTS, OpenSpans, Simulation

FIRST = int(os.environ.get("SEED") or 1)
SEEDS = int(os.environ.get("SEEDS") or 400)
RUN = 25
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


def run(seed: int, spill: OpenSpans) -> Simulation:
    """Run a seed and hold it against the laws."""
    simulation = Simulation(seed, open_spans=MemorySpanStore if seed % SPILLS else spill)
    again = f"make sim SEED={seed} SEEDS=1"
    try:
        simulation.run()
        broken = simulation.laws_broken()
    except Exception as problem:
        problem.add_note(f"seed {seed}: {again}\n{simulation.shape}\n{simulation.steps}")
        raise
    assert not broken, f"{again}\n{simulation.shape}\n{simulation.steps}\n" + "\n".join(broken)
    return simulation


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, RUN))
def test_the_laws_hold_whatever_happens(first: int, spill: OpenSpans) -> None:
    for seed in range(first, min(first + RUN, FIRST + SEEDS)):
        run(seed, spill)


def test_a_seed_always_gives_the_same_run(spill: OpenSpans) -> None:
    first, again = run(7, spill), run(7, spill)
    assert first.steps == again.steps
    for log, log_again in zip(
        first.broker.topics[DECISIONS], again.broker.topics[DECISIONS], strict=True
    ):
        assert [r.value for r in log.committed()] == [r.value for r in log_again.committed()]


def test_the_simulation_has_everything_in_it_that_it_is_about(spill: OpenSpans) -> None:
    seen: Counter[str] = Counter()
    for seed in range(1, 81):
        simulation = run(seed, spill)
        broker = simulation.broker
        seen.update(simulation.steps)
        for number in range(len(broker.topics[DECISIONS])):
            for decision in decisions(broker, number):
                seen[decision.trigger] += 1
                seen[decision.clock] += 1
                seen[decision.verdict] += 1
                seen["duplicates"] += decision.duplicates
                seen["dead-lettered"] += decision.dead_lettered
            aborted = [r for r in broker.topics[DECISIONS][number].records if not r.visible]
            seen["aborted"] += sum(not record.marker for record in aborted)
        seen.update(reason for _, _, reason in dead_letters(broker))
    wanted = {
        *FAULTS,
        *(set(Trigger) - {Trigger.OVERLOAD, Trigger.TRACE_BYTES_LIMIT}),
        *Clock,
        *("duplicates", "dead-lettered", "aborted", "malformed", "empty", "undeliverable"),
        *("crash while a transaction is open", "crash while it has committed, untold"),
    }
    assert {what: seen[what] for what in wanted if seen[what] < 5} == {}
