"""The faults: how each happens, and how a seed picks where.

A crash may come to a process that is paused; the other faults of a process need it awake.
"""

import json
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from stream.sampling.decision import encode
from stream.testing.core import IDENTITY
from stream.testing.decisions import a_drop
from stream.testing.log import DECISIONS, INPUT, FencedProducerError, PartitionLog
from stream.testing.spans import trace_id_of
from tests.simulation.disks import DAMAGES
from tests.simulation.group import Process
from tests.simulation.steps import Step

if TYPE_CHECKING:
    from tests.simulation.world import World

HINTS = ("nothing", "another tool's", "of another offset", "of another topic", "of before")


# Of a process


def crash(world: "World", process: Process, _: Step) -> bool:
    world.died(process)
    return True


def crash_in_flight(world: "World", process: Process, _: Step) -> bool:
    """The request to commit is on the way; nobody waits for the answer."""
    if not process.driver.ripe:
        return False
    world.in_flight[process.slot] = process.driver.session
    world.died(process)
    return True


def terminate(world: "World", process: Process, _: Step) -> bool:
    if not process.joined or process.callback is not None:
        return False
    process.leaving = True
    process.notices.clear()
    world.group.awaited.discard(process.member)
    process.callback = process.driver.revoking(sorted(process.driver.owned))
    return True


def abort(_: "World", process: Process, __: Step) -> bool:
    if not process.driver.abortable:
        return False
    process.driver.abort()
    return True


def unanswered(_: "World", process: Process, step: Step) -> bool:
    if not process.driver.ripe:
        return False
    process.driver.commit_unanswered(landed=step.count == 1)
    return True


def pause(_: "World", process: Process, __: Step) -> bool:
    process.paused = True
    return True


def reading_fails(world: "World", process: Process, step: Step) -> bool:
    world.watch.reading_failed(process.driver)
    return process.driver.promoter.begin_anew(step.number)


# Of the world


def commit_lands(world: "World", step: Step) -> bool:
    """It counts unless a successor has fenced it or the coordinator has given up on it."""
    session = world.in_flight.pop(step.slot, None)
    if session is None:
        return False
    try:
        world.broker.commit(session)
    except FencedProducerError:
        return False
    return True


def rebalance(world: "World", step: Step) -> bool:
    world.group.rebalance(step.owners)
    return True


def expire_sessions(world: "World", _: Step) -> bool:
    return world.expire_sessions(of_paused=True)


def expire_transaction(world: "World", step: Step) -> bool:
    return world.broker.expire(f"slot-{step.slot}")


def usurp(world: "World", step: Step) -> bool:
    if len([p for p in world.processes if p.slot == step.slot]) != 1:
        return False
    world.start(step.slot)
    return True


def drop_hints(world: "World", step: Step) -> bool:
    broker, number = world.broker, step.number
    if number not in broker.offsets or not broker.stable(number):
        return False
    offset, metadata = broker.offsets[number]
    if step.detail == "of before":
        before = world.watch.metadata[number]
        metadata = before[step.count % len(before)]
    else:
        metadata = _other_hints(metadata, step.detail, offset)
    broker.offsets[number] = (offset, metadata)
    world.watch.excused.hints_dropped = True
    return True


def _other_hints(metadata: str, kind: str, offset: int) -> str:
    """Hints that would do harm, were they believed: from a place where everything is done."""
    if kind in {"nothing", "another tool's"}:
        return "" if kind == "nothing" else kind
    try:
        fields = json.loads(metadata)
    except ValueError:
        return ""
    done = {"time_ms": 99, "position": 1 << 30, "dead_letters_upto": 1 << 30}
    ends = dict.fromkeys(("decisions_from", "replay_from"), fields["decisions_next"])
    other = {"offset": offset + 3} if kind == "of another offset" else {"topic_id": "topic-0"}
    return json.dumps({**fields, **done, **ends, **other}, separators=(",", ":"))


def retain(world: "World", step: Step) -> bool:
    if step.number >= world.group.partitions:
        return False
    log = world.broker.topics[INPUT][step.number]
    before = log.start
    log.delete_below(step.count)
    return log.start > before


def truncate_decisions(world: "World", step: Step) -> bool:
    if step.number >= world.group.partitions:
        return False
    log = world.broker.topics[DECISIONS][step.number]
    before = log.start
    log.delete_below(step.count)
    return log.start > before


def recreate_decisions(world: "World", step: Step) -> bool:
    """Only where no worker has the partition: one that goes on would mix the offsets of both."""
    owned = any(step.number in process.driver.owned for process in world.processes)
    if step.number >= world.group.partitions or owned:
        return False
    logs = world.broker.topics[DECISIONS]
    if not logs[step.number].end or logs[step.number].open:
        return False
    world.watch.archive(step.number)
    logs[step.number] = PartitionLog()
    return True


def foreign_decision(world: "World", step: Step) -> bool:
    """Another group decides on a trace, for ever: its policies are its own."""
    if step.number >= world.group.partitions:
        return False
    decision = a_drop(
        trace_id=trace_id_of(step.count),
        spans=1,
        duration_us=0,
        time_ms=1 << 40,
        upto=1 << 40,
        offsets=[],
    )
    value = encode(decision, config="", topic_id=IDENTITY.topic_id, group="another")
    world.broker.topics[DECISIONS][step.number].append(value)
    return True


def damage(world: "World", step: Step) -> bool:
    """A slot that is down finds its disk in another state."""
    return world.disks.damage(step.slot, step.detail)


def grow(world: "World", _: Step) -> bool:
    """The decisions first, then the input."""
    if world.group.partitions == world.shape.partitions_max:
        return False
    for topic in (DECISIONS, "output", INPUT):
        world.broker.add_partition(topic)
    world.group.partitions += 1
    world.group.rebalance()
    return True


OF_A_PROCESS: dict[str, Callable[["World", Process, Step], bool]] = {
    "crash": crash,
    "crash_in_flight": crash_in_flight,
    "terminate": terminate,
    "abort": abort,
    "unanswered": unanswered,
    "pause": pause,
    "reading_fails": reading_fails,
}

OF_THE_WORLD: dict[str, Callable[["World", Step], bool]] = {
    "commit_lands": commit_lands,
    "rebalance": rebalance,
    "expire_sessions": expire_sessions,
    "expire_transaction": expire_transaction,
    "usurp": usurp,
    "drop_hints": drop_hints,
    "retain": retain,
    "truncate_decisions": truncate_decisions,
    "recreate_decisions": recreate_decisions,
    "foreign_decision": foreign_decision,
    "damage": damage,
    "grow": grow,
}


# How a seed picks where. Each gives the steps to take, none where there is nothing to do.


def _one(world: "World", rng: Random, *, in_transaction: float = 0.7) -> Process | None:
    """Mostly one that is in a transaction: it is where a fault hurts."""
    busy = [p for p in world.processes if p.driver.committing and not p.paused]
    able = busy if busy and rng.random() < in_transaction else world.processes
    return rng.choice(able) if able else None


def _of_one(what: str, *, in_transaction: float = 0.7) -> "Pick":
    def pick(world: "World", rng: Random) -> list[Step]:
        process = _one(world, rng, in_transaction=in_transaction)
        if process is None:
            return []
        return [Step(what, process.slot, world.nth(process), count=rng.randint(0, 1))]

    return pick


def _of_a_ripe(what: str) -> "Pick":
    def pick(world: "World", rng: Random) -> list[Step]:
        able = [p for p in world.processes if p.driver.ripe and not p.paused]
        if not able:
            return []
        process = rng.choice(able)
        return [Step(what, process.slot, world.nth(process), count=rng.randint(0, 1))]

    return pick


def _stall(world: "World", rng: Random) -> list[Step]:
    """Pause one for longer than its session lasts, often with a transaction half written."""
    half = [p for p in world.processes if p.driver.committing and p.driver.writing]
    if half and rng.random() < 0.5:
        process = rng.choice(half)
        return [Step("pause", process.slot, world.nth(process)), Step("expire_sessions")]
    return [*_of_one("pause")(world, rng), Step("expire_sessions")]


def _reading_fails(world: "World", rng: Random) -> list[Step]:
    """Of one that reads, else of one that may begin to."""
    able = [process for process in world.processes if not process.paused]
    busy = [(one, number) for one in able for number in one.driver.promoter.under_way]
    wanting = [(one, number) for one in able for number in one.driver.promoter.partitions]
    if not wanting:
        return []
    process, number = rng.choice(busy or wanting)
    of = (process.slot, world.nth(process), number)
    fails = Step("reading_fails", *of)
    return [fails] if busy else [Step("promote", *of, 5), fails]


def _expire(world: "World", rng: Random) -> list[Step]:
    """The coordinator gives up on the transaction of one that stalls, or is dead."""
    slot = rng.randrange(world.shape.slots)
    stalled = [p for p in world.processes if p.slot == slot and not p.paused]
    steps = [Step("pause", slot, world.nth(process)) for process in stalled]
    return [*steps, Step("expire_transaction", slot)]


def _rebalance(world: "World", rng: Random) -> list[Step]:
    slots = range(world.shape.slots)
    return [
        Step("rebalance", owners=tuple(rng.choice(slots) for _ in range(world.group.partitions)))
    ]


def _usurp(world: "World", rng: Random) -> list[Step]:
    return [Step("usurp", rng.randrange(world.shape.slots))]


def _hints(world: "World", rng: Random) -> list[Step]:
    number = rng.randrange(world.group.partitions)
    return [Step("drop_hints", number=number, count=rng.randrange(99), detail=rng.choice(HINTS))]


def _retain(world: "World", rng: Random) -> list[Step]:
    number = rng.randrange(world.group.partitions)
    log = world.broker.topics[INPUT][number]
    resume_offset = world.broker.offsets.get(number, (0, ""))[0]
    upto = min(log.end, max(1, resume_offset + rng.choice((-4, 0, 1, 2, 5))))
    return [Step("retain", number=number, count=upto)]


def _retain_promoted(world: "World", rng: Random) -> list[Step]:
    """Below a promotion's pin lies what it has to read again; nothing else needs it any more."""
    able = [
        process.driver.worker.partitions[number]
        for process in world.processes
        for number in process.driver.promoter.partitions
    ]
    if not able:
        return []
    partition = rng.choice(able)
    upto = partition.sampler.resume()[0] - rng.choice((0, 1, 2))
    resume_offset = world.broker.offsets.get(partition.number, (0, ""))[0]
    return [Step("retain", number=partition.number, count=max(1, min(upto, resume_offset)))]


def _truncate(world: "World", rng: Random) -> list[Step]:
    number = rng.randrange(world.group.partitions)
    if rng.random() < 0.2:
        owners = [p for p in world.processes if number in p.driver.owned]
        crashes = [Step("crash", p.slot, world.nth(p)) for p in reversed(owners)]
        return [*crashes, Step("recreate_decisions", number=number)]
    log = world.broker.topics[DECISIONS][number]
    return [Step("truncate_decisions", number=number, count=rng.randint(log.start, log.end))]


def _foreign(world: "World", rng: Random) -> list[Step]:
    """Open one, or end the one that is open; records of it arrive in between."""
    number = rng.randrange(world.group.partitions)
    if number in world.foreign:
        return [Step("end_foreign", number=number, count=rng.randint(0, 1))]
    return [Step("arrive_foreign", number=number, count=world.cursors[number])]


def _foreign_decision(world: "World", rng: Random) -> list[Step]:
    number = rng.randrange(world.group.partitions)
    return [Step("foreign_decision", number=number, count=rng.randint(1, 30))]


def _damage(world: "World", rng: Random) -> list[Step]:
    """Kill one, and spoil what it left."""
    crashed = _of_one("crash")(world, rng)
    return [*crashed, *(Step("damage", one.slot, detail=rng.choice(DAMAGES)) for one in crashed)]


def _pass(world: "World", rng: Random) -> list[Step]:
    del world
    return [Step("pass_time", count=rng.choice((40, 5_000)))]


Pick = Callable[["World", Random], list[Step]]
PICKS: dict[str, Pick] = {
    "crash": _of_one("crash"),
    "crash_in_flight": _of_a_ripe("crash_in_flight"),
    "terminate": _of_one("terminate", in_transaction=0.2),
    "rebalance": _rebalance,
    "abort": _of_one("abort", in_transaction=1),
    "unanswered": _of_a_ripe("unanswered"),
    "pause": _of_one("pause"),
    "stall": _stall,
    "expire_sessions": lambda *_: [Step("expire_sessions")],
    "expire_transaction": _expire,
    "usurp": _usurp,
    "drop_hints": _hints,
    "retain": _retain,
    "truncate_decisions": _truncate,
    "foreign_decision": _foreign_decision,
    "damage": _damage,
    "grow": lambda *_: [Step("grow")],
    "hung_foreign": _foreign,
    "wall_jump": _pass,
    "reading_fails": _reading_fails,
    "retain_promoted": _retain_promoted,
}
