"""A run from its seed, as a list of steps that can be replayed with some of them left out.

The same seed gives the same steps, and the same steps the same run.
"""

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from stream.sampling.promotions import SecondChance
from stream.testing.driver import Driver
from stream.testing.log import INPUT, Broker, Membership, PartitionLog
from tests.simulation.disks import Disks, InMemory
from tests.simulation.faults import PICKS
from tests.simulation.laws import Broken, laws_broken
from tests.simulation.laws_of_pins import laws_of_pins_broken
from tests.simulation.published import Published
from tests.simulation.schedule import Schedule
from tests.simulation.shape import Shape, a_broker, a_driver, limited
from tests.simulation.steps import Step, in_words
from tests.simulation.traffic import Traffic
from tests.simulation.watch import LawBrokenError
from tests.simulation.world import World

TURNS = 450
LIMITED = 3  # every so manieth seed has policies that are limits
SECOND_CHANCES = 5  # and so on: late errors and slow spans promote
REFUSED = 7  # hardly any pins are held
OF_PINS = {"reading_fails": 0.8, "retain_promoted": 0.5}  # the faults where there are pins
PINNED = 4  # every so manieth seed has no pins


@dataclass(slots=True)
class Run:
    """What was done, and every law that did not hold. `world` is how things stood at the end."""

    world: World
    steps: list[Step] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)

    @property
    def law(self) -> str:
        """The first law that did not hold, nothing if all did."""
        return self.broken[0].law if self.broken else ""

    def take(self, step: Step) -> None:
        """Let a step happen, and note it if it did, or if a law did not hold."""
        self.steps.append(step)
        if not self.world.apply(step):
            self.steps.pop()


class Simulation:
    """The shape and the traffic of a seed, and its runs; in a `directory`, stores spill there."""

    def __init__(self, seed: int, *, directory: Path | None = None) -> None:
        self.seed = seed
        self._directory = directory
        rng = Random(seed)
        self.shape = Shape.of(rng, [kind for kind in PICKS if kind not in OF_PINS])
        if seed % PINNED:
            self.shape.faults |= OF_PINS
        if seed % SECOND_CHANCES == 0:
            self.shape.core = replace(self.shape.core, second_chance=SecondChance(True, 500))
        if seed % REFUSED == 0:
            self.shape.pins_max = 2
        if seed % LIMITED == 0:
            rules = limited(seed // LIMITED, partitions=self.shape.partitions)
            self.shape.core = replace(self.shape.core, rules=rules)
        self.traffic = Traffic(
            rng,
            partitions=self.shape.partitions,
            grown=self.shape.grown,
            retention_ms=self.shape.core.windows.decision_retention_ms,
            create_time=self.shape.create_time,
            jumps=self.shape.jumps,
            halves=Random(f"halves of {seed}"),
            pins=Random(seed) if seed % PINNED else None,
        )
        self._rng_state = rng.getstate()

    def run(self) -> Run:
        """Disturb the workers for a while, then let them finish."""
        rng = Random()
        rng.setstate(self._rng_state)
        schedule = Schedule(rng, self.shape.faults)
        run = Run(World(self.shape, self.traffic, Disks(self._directory)))

        def act() -> None:
            for _ in range(TURNS):
                for step in schedule.turn(run.world):
                    run.take(step)
            for step in schedule.rest(run.world):
                run.take(step)

        return self._held(run, act)

    def replay(self, steps: Iterable[Step]) -> Run:
        """Let these steps happen, as far as they still can, and let the workers finish."""
        run = Run(World(self.shape, self.traffic, Disks(self._directory)))

        def act() -> None:
            for step in steps:
                run.take(step)

        return self._held(run, act)

    def in_words(self, steps: Sequence[Step]) -> str:
        """List steps in words."""
        records = [[one.words for one in entries] for entries in self.traffic.partitions]
        return in_words(steps, records)

    def _held(self, run: Run, act: Callable[[], None]) -> Run:
        """Run, and hold it against the laws."""
        try:
            act()
            run.world.quiesce()
            run.broken += self._laws_broken(run.world)
        except LawBrokenError as problem:
            run.broken.append(Broken(problem.law, str(problem)))
        except Exception as problem:  # noqa: BLE001 - a broken rule may break anything
            how = "".join(traceback.format_exception(problem))
            run.broken.append(Broken(type(problem).__name__, how))
        finally:
            for process in run.world.processes:
                process.close()
        return run

    def _laws_broken(self, world: World) -> list[Broken]:
        shape, excused = self.shape, world.watch.excused
        lost = any(excused.lost.values())
        calm = None
        if not (shape.jumps or (shape.create_time and (excused.hints_dropped or lost))):
            calm = Published(undisturbed(shape, world.broker.topics[INPUT]))
        broken = list(
            laws_broken(
                world.broker, world.watch, calm, shape.core, transactional=shape.transactional
            )
        )
        if shape.transactional:
            broken += laws_of_pins_broken(world.broker, world.watch, shape.core)
        return broken


def undisturbed(shape: Shape, logs: Sequence[PartitionLog]) -> Broker:
    """Return what one worker writes that reads the same log in one poll and nothing goes wrong."""
    broker = a_broker(shape.calm, partitions=len(logs))
    for log, copy in zip(logs, broker.topics[INPUT], strict=True):
        copy.records = log.records
    driver = a_driver(broker, "slot-0", shape.calm, InMemory())
    broker.group.members = {"one"}
    driver.assigned(Membership("one", 0), range(len(logs)))
    _finish(driver, len(logs))
    return broker


def _finish(driver: Driver, partitions: int) -> None:
    for number in range(partitions):
        while number in driver.restoring:
            driver.restore(number)
        driver.poll(number, 1_000_000)
    while driver.fold():
        pass
    for _ in range(TURNS):
        promoted = [driver.promoter.read(number, 1_000) for number in driver.promoter.partitions]
        if not driver.finish() and not any(promoted):
            return
