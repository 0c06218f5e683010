"""How a seed picks what happens next, given how things stand."""

from random import Random

from tests.simulation.faults import PICKS
from tests.simulation.group import Process
from tests.simulation.steps import Step
from tests.simulation.world import World

POLLS = (1, 2, 10, 1_000)


class Schedule:
    """Picks steps from a seed's generator. `faults` weighs those that may happen."""

    def __init__(self, rng: Random, faults: dict[str, float]) -> None:
        self._rng = rng
        self._faults = faults
        self._fault_share = 0.01 * sum(faults.values())

    def turn(self, world: World) -> list[Step]:
        """Return what happens in one turn: a few steps, of which some may come to nothing."""
        rng = self._rng
        steps: list[Step] = []
        if rng.random() < 0.12:
            steps += self._arrivals(world)
        steps += self._by_itself(world)
        if rng.random() < self._fault_share:
            kind = rng.choices(list(self._faults), list(self._faults.values()))[0]
            steps += PICKS[kind](world, rng)
        awake = [process for process in world.processes if not process.paused]
        if awake:
            process = rng.choice(awake)
            steps.append(self._work(world, process))
        return steps

    def rest(self, world: World) -> list[Step]:
        """Return the arrival of everything that has not arrived."""
        return [
            Step("arrive", number=number, count=index)
            for number in range(world.group.partitions)
            for index in range(world.cursors[number], len(world.traffic.partitions[number]))
        ]

    def _arrivals(self, world: World) -> list[Step]:
        rng = self._rng
        number = rng.randrange(world.group.partitions)
        first = world.cursors[number]
        end = min(first + rng.choice((1, 3, 12)), len(world.traffic.partitions[number]))
        steps = []
        for index in range(first, end):
            foreign = number in world.foreign and rng.random() < 0.4
            what = "arrive_foreign" if foreign else "arrive"
            steps.append(Step(what, number=number, count=index))
        return [*steps, Step("pass_time", count=rng.choice((1, 20)))]

    def _by_itself(self, world: World) -> list[Step]:
        """Dead processes start again, the group notices, pauses and transactions end."""
        rng = self._rng
        steps: list[Step] = []
        if rng.random() < 0.1:
            living = {process.slot for process in world.processes}
            dead = [slot for slot in range(world.shape.slots) if slot not in living]
            steps += [Step("restart", slot) for slot in dead]
        if rng.random() < 0.1:
            steps.append(Step("bury"))
        for process in world.processes:
            if process.paused and rng.random() < world.shape.wakes:
                steps.append(Step("wake", process.slot, world.nth(process)))
        if world.in_flight and rng.random() < 0.2:
            steps.append(Step("commit_lands", min(world.in_flight)))
        if world.foreign and rng.random() < 0.01:
            number = min(world.foreign)
            steps.append(Step("end_foreign", number=number, count=rng.randint(0, 1)))
        return steps

    def _work(self, world: World, process: Process) -> Step:
        rng, driver = self._rng, process.driver
        slot, nth = process.slot, world.nth(process)
        if process.callback is not None and rng.random() < 0.5:
            return Step("call_back", slot, nth)
        if process.notices and process.callback is None and rng.random() < 0.5:
            return Step("notice", slot, nth)
        if driver.restoring and rng.random() < 0.6:
            return Step("restore", slot, nth, number=rng.choice(driver.restoring))
        ready = sorted(driver.worker.partitions)
        acts = {"poll": 35.0 * bool(ready), "fold": 20, "idle": 10 * world.shape.idle}
        if driver.promoter.partitions:
            acts["promote"] = 15
        acts["turn" if driver.committing else "begin"] = 35
        what = rng.choices(list(acts), list(acts.values()))[0]
        if what == "poll":
            return Step("poll", slot, nth, rng.choice(ready), rng.choice(POLLS))
        if what == "promote":
            number = rng.choice(driver.promoter.partitions)
            return Step("promote", slot, nth, number, rng.choice((1, 4, 1_000)))
        return Step(what, slot, nth)
