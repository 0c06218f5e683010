"""What a seed chooses once: how large everything is, and which faults there are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import pytest

from stream.kafka import sweep
from stream.sampling import kept_offsets
from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.matcher import Matcher, PrefixTook
from stream.sampling.pins import PinsBudget
from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.and_ import And
from stream.sampling.policies.completeness import Completeness
from stream.sampling.policies.composite import Composite
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.leaf import Leaf
from stream.sampling.policies.not_ import Not
from stream.sampling.policies.policy import Policy
from stream.sampling.policies.probabilistic import Probabilistic
from stream.sampling.policies.rate_limiting import BytesLimiting, RateLimiting
from stream.sampling.policies.status_code import StatusCode
from stream.state import memory, rocksdb
from stream.testing.core import Core, Rules, rules
from stream.testing.driver import Driver, Opened
from stream.testing.log import INPUT, Broker
from stream.worker import decision_log
from stream.worker.partition import Partition
from stream.worker.restore import Restore, ResumePoint
from stream.worker.transaction import Bounds
from tests.simulation.disks import Disk

NEVER_MS = 1_000_000_000
MANY = 1_000_000


@dataclass(slots=True)
class Shape:
    """The settings of a run. `faults` gives each of its faults a weight.

    `create_time`: producers stamp the records; `jumps`: some of their clocks are far off.
    `grown` partitions may be added to the `partitions` that there are. `static`: members keep their
    place for as long as their session lasts. `transactional` off is delivery at least once. `wakes`
    is the share of turns in which a paused process goes on. `pins_max`: of a process.
    """

    core: Core
    slots: int
    partitions: int
    grown: int
    bounds: tuple[int, int]
    output_limit: int | None
    open_traces_max: int
    idle: bool
    create_time: bool
    jumps: bool
    static: bool
    transactional: bool
    wakes: float
    faults: dict[str, float]
    pins_max: int = MANY

    @classmethod
    def of(cls, rng: Random, faults: Sequence[str]) -> "Shape":
        """Choose a shape with some of these faults."""
        create_time = rng.random() < 0.4
        jumps = create_time and rng.random() < 0.3
        usual = dict.fromkeys(("crash", "rebalance", "stall"), 0.3) if rng.random() < 0.5 else {}
        kinds = rng.sample(list(faults), rng.randint(1, 6))
        return cls(
            _core(rng, jumps=jumps),
            slots=rng.randint(1, 3),
            partitions=rng.randint(1, 3),
            grown=rng.choice((0, 0, 1)) if "grow" in kinds else 0,
            bounds=(rng.choice((1, 3, 20_000)), rng.choice((1, 2_000, 1 << 25))),
            output_limit=rng.choice((None, None, None, None, 900)),
            open_traces_max=rng.choice((MANY, MANY, MANY, MANY, 2, 5)),
            idle=rng.random() < 0.5,
            create_time=create_time,
            jumps=jumps,
            static=rng.random() < 0.2,
            transactional=rng.random() < 0.92,
            wakes=rng.choice((0.04, 0.01, 0.003)),
            faults={**usual, **{kind: rng.choice((0.3, 1, 3)) for kind in kinds}},
        )

    @property
    def partitions_max(self) -> int:
        """How many partitions there are in the end, at most."""
        return self.partitions + self.grown

    @property
    def calm(self) -> "Shape":
        """The same without faults and limits that are the environment's, not the log's."""
        return replace(
            self,
            slots=1,
            bounds=(20_000, 1 << 25),
            output_limit=None,
            open_traces_max=MANY,
            transactional=True,
            pins_max=MANY,
        )


def _core(rng: Random, *, jumps: bool) -> Core:
    windows = Windows(
        decision_wait_ms=30,
        decision_wait_after_root_ms=rng.choice((0, 0, 8)),
        idle_grace_ms=5,
        # A clock that jumps makes decisions old at once, and one that is forgotten binds nobody.
        decision_retention_ms=NEVER_MS if jumps else rng.choice((40, 120)),
    )
    limits = Limits(
        trace_spans_max=rng.choice((6, 100_000)), trace_bytes_max=rng.choice((700, MANY, MANY))
    )
    share = rng.choice((0, 30))
    # By a die of its own: the others fall as if there were no other strategies.
    other = Random()
    other.setstate(rng.getstate())
    kind = other.random()
    if kind < 0.3:
        return Core(windows, limits, _other_rules(share, at_ingest=kind < 0.15))
    return Core(windows, limits, rules(sampling_percentage=share))


def _other_rules(sampling_percentage: float, *, at_ingest: bool) -> Rules:
    """Return policies that are asked of each fragment, or that look back at the spans."""
    matcher = Matcher()
    chosen: list[Policy] = [
        StatusCode("errors", ["ERROR"], matcher),
        Probabilistic("rest", sampling_percentage),
    ]
    if not at_ingest:
        chosen.append(Leaf("prefix", PrefixTook(0, 1), matcher))
        chosen.append(Completeness("complete", matcher, complete=True))
    policies = Policies(chosen, at_ingest=at_ingest, look_back=matcher.look_back())
    return Rules(policies, matcher.plan())


def limited(seed: int, *, partitions: int) -> Rules:
    """Return policies of which some are limits that a run reaches, of a kind that the seed says."""
    matcher = Matcher()
    errors = StatusCode("errors", ["ERROR"], matcher)
    rate, total = 50 * partitions, 40 * partitions
    kinds: tuple[Sequence[Policy], ...] = (
        (errors, RateLimiting("rate", rate, 4 * partitions)),
        (And("and", [Not("ordinary", errors), BytesLimiting("bytes", 100 * rate, 900)]), errors),
        (Composite("shares", total, [(errors, total // 4), (AlwaysSample("all"), total // 2)]),),
        (
            Drop("drop", [Probabilistic("some", 20), RateLimiting("dropped", rate, 3)]),
            Composite("shares", total, [(errors, total), (RateLimiting("rate", rate), total)]),
        ),
    )
    # Every other kind is watched by a shadow, whose level is its own and travels as the others do.
    shadows = [RateLimiting("shadow", rate // 2, 3)] if seed % 2 else []
    policies = Policies(kinds[seed % len(kinds)], shadows=shadows)
    policies.fleet.spread_over(lambda: partitions)
    return Rules(policies, matcher.plan())


def small_sizes(patch: pytest.MonkeyPatch) -> None:
    """Make everything that is kept in bulk small, so that short logs have much of it."""
    patch.setattr(decision_log, "CHUNK_RECORDS", 3)
    patch.setattr(kept_offsets, "KEPT_BYTES_MAX", 4)
    patch.setattr(sweep, "SKIP_OFFSETS_MIN", 2)
    patch.setattr(memory, "_BUCKET_OFFSETS", 4)
    patch.setattr(rocksdb, "BUCKET_OFFSETS", 4)


def a_broker(shape: Shape, *, partitions: int | None = None) -> Broker:
    """Return empty topics."""
    count = shape.partitions if partitions is None else partitions
    limits = {"output": shape.output_limit} if shape.output_limit else {}
    topics = dict.fromkeys((INPUT, "output", "decisions"), count)
    return Broker({**topics, "dead_letters": 1}, message_bytes_max=limits)


def a_driver(broker: Broker, slot: str, shape: Shape, disk: Disk) -> Driver:
    """Return a worker process that has just been started."""
    core = shape.core
    budget = OpenTracesBudget(limit=shape.open_traces_max)
    pins = PinsBudget(shape.pins_max)

    def open_partition(number: int) -> Opened:
        spans = disk.open_spans(number)
        decisions = disk.open_decisions(number, core.windows.decision_retention_ms)

        def build(point: ResumePoint, restore: Restore) -> Partition:
            return core.partition(
                number,
                spans=spans,
                decisions=decisions,
                budget=budget,
                pins=pins,
                restored=(point, restore),
            )

        def close() -> None:
            spans.close()
            decisions.close()

        return Opened(decisions, build, close)

    return Driver(
        broker,
        slot,
        open_partition=open_partition,
        plan=core.rules.plan,
        identity=core.identity,
        bounds=Bounds(*shape.bounds),
        transactional=shape.transactional,
    )
