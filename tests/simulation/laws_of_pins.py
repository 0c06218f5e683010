"""The laws of pins and promotions, asked at the end of what a read_committed reader is given."""

from collections.abc import Iterator, Sequence

from stream.sampling.decision import PROMOTIONS, Trigger, Verdict
from stream.sampling.pins import PIN_POLICY
from stream.testing.core import Core
from stream.testing.log import INPUT, Broker
from tests.simulation.laws import Broken, OfPartition, is_pin_of, name_of
from tests.simulation.shape import MANY
from tests.simulation.traffic import BEHIND_MS
from tests.simulation.watch import Watch


def laws_of_pins_broken(broker: Broker, watch: Watch, core: Core) -> Iterator[Broken]:
    """Yield every law of pins that does not hold at the end."""
    for number in range(len(broker.topics[INPUT])):
        of = OfPartition(watch, number, None)
        yield from _pins_kept(of, watch, core)
        if watch.shape.pins_max >= MANY:
            yield from _second_chances(of, core)


def _pins_kept(of: OfPartition, watch: Watch, core: Core) -> Iterator[Broken]:
    """Every trace that was pinned in time is kept whole, every kept one that no policy wants was.

    But for what retention had deleted by the time of its promotion, which says so.
    """
    for trace_id, of_trace in of.by_trace.items():
        its = [n for n, sent in enumerate(of.entries) if is_pin_of(sent, trace_id)]
        last, name = of_trace[-1], name_of(trace_id)
        if trace_id in of.forgotten:
            continue
        if any(one.policy == PIN_POLICY and not _below(its, one.upto) for one in of_trace):
            yield Broken("pinned", f"trace {name} is kept by a pin that it has not")
        if not any(_in_time(of, n, trace_id, watch, core) for n in its if n not in of.lost):
            continue
        if last.verdict is not Verdict.SAMPLED:
            yield Broken("pinned", f"trace {name} is pinned at {its} and {last.verdict}: {last}")
        promotions = [one for one in of_trace if one.trigger in PROMOTIONS]
        deleted = watch.deleted(of.number)
        for one in promotions:
            below = [n for n in of.records[trace_id] if n < one.upto]
            missing = set(below) - set(one.offsets) - of.lost
            partial = one.trigger is Trigger.PROMOTED_PARTIAL
            if missing and not (partial and missing <= deleted):
                yield Broken("whole", f"trace {name} is promoted without {sorted(missing)}")


def _second_chances(of: OfPartition, core: Core) -> Iterator[Broken]:
    """Where late errors promote, none is dropped."""
    for one in of.decisions:
        late_dropped = one.trigger is Trigger.LATE and one.verdict is Verdict.NOT_SAMPLED
        if core.second_chance.late_errors and late_dropped and one.errors:
            yield Broken("second chance", f"trace {name_of(one.trace_id)}: a late error is dropped")


def _below(offsets: Sequence[int], upto: int) -> bool:
    return any(offset < upto for offset in offsets)


def _in_time(of: OfPartition, at: int, trace_id: bytes, watch: Watch, core: Core) -> bool:
    """Whether a pin had surely not expired when its trace's first span came."""
    if watch.shape.pins_max < MANY or watch.shape.jumps:
        return False
    first = min(n for n in of.records[trace_id])
    if at > first:
        # So young that its decision, if there is one, lives.
        return True
    pin = of.entries[at].pin
    assert pin is not None
    waited_ms = of.entries[first].true_ms - of.entries[at].true_ms
    behind_ms = BEHIND_MS if watch.shape.create_time else 0
    return waited_ms + behind_ms <= min(pin.ttl_ms, core.windows.decision_retention_ms)
