"""The laws, asked at the end of what a read_committed reader is given. `Watch` has the others."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from stream.otlp.fragment import Fragment
from stream.otlp.scan import scan
from stream.sampling.decision import PROMOTIONS, Clock, Decision, Trigger, Verdict
from stream.sampling.pins import kept_by_pin
from stream.sampling.policies.evaluate import Judgement, Policies
from stream.sampling.trace import OpenTrace
from stream.testing.core import Core
from stream.testing.log import INPUT, Broker
from tests.simulation.published import Published
from tests.simulation.shape import MANY
from tests.simulation.traffic import Sent
from tests.simulation.watch import Watch

OF_A_TRACE = {"span_too_large", "undeliverable"}
NOT_CUTS = PROMOTIONS | {Trigger.LATE}
OF_THE_WORKER = {Trigger.OVERLOAD, Trigger.DISK_LIMIT}
"""Triggers that depend on what else a worker holds: exceptions to law 5 for the traces they cut."""
BY_LIMIT = OF_THE_WORKER | {Trigger.SPAN_LIMIT, Trigger.TRACE_BYTES_LIMIT}


class Broken(NamedTuple):
    """A law that does not hold, and how that shows."""

    law: str
    how: str


class OfPartition:
    """One partition's log and what was decided of it.

    `lost` offsets and `forgotten` traces are excused from what their names say. `calm` are the
    decisions of an undisturbed run, None where nothing is promised about it.
    """

    def __init__(self, watch: Watch, number: int, calm: Published | None) -> None:
        self.number = number
        self.entries = watch.entries(number)
        self.decisions = watch.published.decisions(number)
        self.by_trace = _by_trace(self.decisions)
        self.output = watch.published.output(number)
        self.lost = watch.excused.lost[number]
        self.forgotten = watch.excused.forgotten[number]
        self.calm = None if calm is None else _by_trace(calm.decisions(number))
        self.records: defaultdict[bytes, list[int]] = defaultdict(list)
        self.spans: defaultdict[bytes, set[bytes]] = defaultdict(set)
        for offset, sent in enumerate(self.entries):
            for trace_id, span_ids in sent.spans.items():
                self.records[trace_id].append(offset)
                self.spans[trace_id].update(span_ids)

    def truncated(self, trace_id: bytes) -> bool:
        """Whether retention deleted some of its records before they were decided, or a pin."""
        pins = [at for at in self.lost if is_pin_of(self.entries[at], trace_id)]
        return bool(pins) or any(offset in self.lost for offset in self.records[trace_id])


def is_pin_of(sent: Sent, trace_id: bytes) -> bool:
    """Tell whether an entry is a pin of this trace."""
    return sent.pin is not None and sent.pin.trace_id == trace_id


def laws_broken(
    broker: Broker, watch: Watch, calm: Published | None, core: Core, *, transactional: bool
) -> Iterator[Broken]:
    """Yield every law that does not hold at the end.

    `calm` is what was written undisturbed; None where nothing is promised about it: with
    `CreateTime`, the partition time at the resume offset is known by the hints alone, and a clock
    that jumps ahead is clamped to a wall clock.
    """
    for number, log in enumerate(broker.topics[INPUT]):
        of = OfPartition(watch, number, calm)
        if transactional:
            yield from _decided_once(of)
            yield from _delivered_once(of)
            yield from _accounted(of)
            yield from _as_undisturbed(of, watch, limited=bool(core.rules.policies.levels))
        else:
            yield from _delivered_at_least_once(of)
        if not core.rules.policies.levels:
            yield from _judged_on_its_records(of, core)
        elif transactional and not of.forgotten and not _time_unknown(watch, of):
            yield from _judged_in_their_order(of, core)
        if broker.positions.get(number) != log.end:
            yield Broken("position", f"{broker.positions.get(number)}, the log ends at {log.end}")
    yield from _dead_letters(watch, len(broker.topics[INPUT]), transactional=transactional)


def _time_unknown(watch: Watch, of: OfPartition) -> bool:
    """Tell whether a successor's partition time may lie below that of the last decision.

    The levels tell then no more of when the last one was charged.
    """
    return of.calm is None and (watch.excused.hints_dropped or bool(of.lost))


def _by_trace(found: Sequence[Decision]) -> dict[bytes, list[Decision]]:
    traces: defaultdict[bytes, list[Decision]] = defaultdict(list)
    for decision in found:
        if decision.verdict is not Verdict.PENDING:
            traces[decision.trace_id].append(decision)
    return traces


def _decided_once(of: OfPartition) -> Iterator[Broken]:
    """One verdict a trace; each of its records is covered once, below a rising `upto`."""
    for trace_id, offsets in of.records.items():
        if trace_id not in of.by_trace and not of.lost.issuperset(offsets):
            yield Broken("one verdict", f"trace {name_of(trace_id)} has none")
    for trace_id, of_trace in of.by_trace.items():
        if trace_id in of.forgotten:
            continue
        name = name_of(trace_id)
        before, since = _around_promotion(of_trace)
        late = [one.trigger is Trigger.LATE for one in (*before, *since[1:])]
        if late != [False, *[True] * (len(late) - 1)]:
            yield Broken("one verdict", f"trace {name}: {[str(one.trigger) for one in of_trace]}")
        for part in (before, since):
            if len({(one.verdict, one.policy, one.threshold) for one in part}) > 1:
                verdicts = [str(one.verdict) for one in of_trace]
                yield Broken("one verdict", f"trace {name}: {verdicts}")
        if since and before[0].verdict is not Verdict.NOT_SAMPLED:
            yield Broken("one verdict", f"trace {name} is promoted, and was kept")
        yield from _covered_once(of, trace_id, of_trace)


def _around_promotion(
    of_trace: Sequence[Decision],
) -> tuple[Sequence[Decision], Sequence[Decision]]:
    """Return a trace's decisions before its promotion, and from that on; nothing without one."""
    for at, one in enumerate(of_trace):
        if one.trigger in PROMOTIONS:
            return of_trace[:at], of_trace[at:]
    return of_trace, ()


def _covered_once(
    of: OfPartition, trace_id: bytes, of_trace: Sequence[Decision]
) -> Iterator[Broken]:
    name = name_of(trace_id)
    first = [one for one in of_trace if one.trigger not in PROMOTIONS]
    covered = [offset for one in first for offset in one.offsets]
    wanted = [n for n in of.records[trace_id] if n not in of.lost or n in covered]
    if covered != wanted:
        yield Broken("covered once", f"trace {name} covers {covered}, lies at {wanted}")
    # What is promoted by a late span covers what lies below that.
    uptos = [one.upto for one in of_trace]
    if uptos != sorted(uptos) or len({one.upto for one in first}) != len(first):
        yield Broken("covered once", f"trace {name} has uptos {uptos}")
    for one in of_trace:
        if any(offset >= one.upto for offset in one.offsets):
            yield Broken("covered once", f"trace {name}: {one.offsets} reach {one.upto}")


def _delivered_once(of: OfPartition) -> Iterator[Broken]:
    """Every span of a kept trace once in the output, none of a dropped one."""
    output = dict(of.output)
    for trace_id, of_trace in of.by_trace.items():
        got = output.pop(trace_id, Counter())
        if trace_id in of.forgotten:
            yield from _no_span_missing(of, trace_id, of_trace)
            continue
        wanted = _wanted(of, [one for one in of_trace if one.verdict is Verdict.SAMPLED])
        if any(one.dead_lettered for one in of_trace):
            # A delivery that the broker refuses is a pointer in the dead letters.
            wanted &= got.keys()
        if wanted - got.keys():
            yield Broken("whole", f"trace {name_of(trace_id)}: {len(wanted - got.keys())} missing")
        if got.keys() - wanted:
            yield Broken("not kept", f"trace {name_of(trace_id)}: {got} in the output")
        twice = [span_id for span_id, count in got.items() if count > 1]
        if twice:
            yield Broken("once", f"trace {name_of(trace_id)}: {len(twice)} spans twice")
    if output:
        yield Broken("not kept", f"{len(output)} traces in the output that nobody decided")


def _delivered_at_least_once(of: OfPartition) -> Iterator[Broken]:
    """Nothing is missing of what a decision covers, and a decision covers everything."""
    covered = {(one.trace_id, offset) for one in of.decisions for offset in one.offsets}
    for trace_id, offsets in of.records.items():
        missing = [n for n in offsets if n not in of.lost and (trace_id, n) not in covered]
        if missing:
            yield Broken("one verdict", f"trace {name_of(trace_id)}: {missing} are not decided")
    for trace_id, of_trace in of.by_trace.items():
        yield from _no_span_missing(of, trace_id, of_trace)


def _no_span_missing(
    of: OfPartition, trace_id: bytes, of_trace: Sequence[Decision]
) -> Iterator[Broken]:
    kept = [one for one in of_trace if one.verdict is Verdict.SAMPLED and not one.dead_lettered]
    missing = _wanted(of, kept) - of.output.get(trace_id, Counter()).keys()
    if missing:
        yield Broken("whole", f"trace {name_of(trace_id)}: {len(missing)} missing")


def _wanted(of: OfPartition, kept: Sequence[Decision]) -> set[bytes]:
    """Return the ids of the spans that decisions of one trace cover."""
    return {
        span_id
        for one in kept
        for offset in one.offsets
        for span_id in of.entries[offset].spans.get(one.trace_id, ())
    }


def _as_undisturbed(of: OfPartition, watch: Watch, *, limited: bool) -> Iterator[Broken]:
    """Law 5: what the log cut, it cut as without any fault, but for the named exceptions.

    With limits these change what is left of them, so all that follows is excused, too.
    """
    if of.calm is None or (limited and (of.lost or of.forgotten)):
        return
    for trace_id, of_trace in of.by_trace.items():
        cut, *late = [one for one in of_trace if one.trigger not in PROMOTIONS]
        excused = trace_id in of.forgotten or of.truncated(trace_id)
        # Which pins are refused depends on what else a worker holds.
        excused = excused or watch.shape.pins_max < MANY
        if excused or cut.clock is Clock.WALL or cut.trigger in OF_THE_WORKER:
            if limited:
                return
            continue
        calmly = of.calm.get(trace_id)
        if calmly is None:
            yield Broken("as undisturbed", f"trace {name_of(trace_id)} is not decided undisturbed")
            continue
        cut_calmly, *late_calmly = [one for one in calmly if one.trigger not in PROMOTIONS]
        if _content(cut) != _content(cut_calmly):
            yield Broken("as undisturbed", f"cut {cut}, undisturbed {cut_calmly}")
        if sum(one.spans for one in late) != sum(one.spans for one in late_calmly):
            yield Broken("as undisturbed", f"late {late}, undisturbed {late_calmly}")


def _content(decision: Decision) -> Decision:
    """The decision without what a refusing broker makes of its delivery."""
    if not decision.dead_lettered:
        return replace(decision, span_ids=b"", duplicates=0)
    return replace(decision, span_ids=b"", duplicates=0, dead_lettered=0)


def _judged_on_its_records(of: OfPartition, core: Core) -> Iterator[Broken]:
    """Law 5 where no undisturbed run can tell: a verdict is that of the records it covers."""
    for decision in of.decisions:
        if decision.verdict is Verdict.PENDING:
            continue
        late = decision.trigger in NOT_CUTS
        if late or (of.calm is not None and decision.clock is Clock.LOG):
            continue
        trace, fragments = _folded(of, decision, core)
        judged = _judged(core.rules.policies, trace, fragments)
        if decision.source:
            judged = kept_by_pin(judged)
        got = decision.verdict, decision.policy, decision.threshold
        if got != (judged.verdict, judged.policy, judged.threshold):
            how = f"trace {name_of(decision.trace_id)} is {got}, its records are {judged}"
            yield Broken("judged on its records", how)


def _judged_in_their_order(of: OfPartition, core: Core) -> Iterator[Broken]:
    """Limits: a verdict is that of the records it covers, after those before it in the topic.

    So nothing is charged twice, and nothing that was charged is forgotten.
    """
    policies = core.rules.policies.of_partition()
    for decision in of.decisions:
        if decision.trigger in NOT_CUTS or decision.verdict is Verdict.PENDING:
            continue
        trace, _ = _folded(of, decision, core)
        judged = policies.judge(trace, body_bytes=trace.body_bytes, due_ms=_charged_ms(decision))
        if decision.source:
            judged = kept_by_pin(judged)
        got, wanted = _as_recorded(decision), _as_recorded(judged)
        if got != wanted:
            how = f"trace {name_of(decision.trace_id)} is {got}, after those before it {wanted}"
            yield Broken("judged in their order", how)
            return


def _as_recorded(of: Decision | Judgement) -> tuple[object, ...]:
    return of.verdict, of.policy, of.threshold, of.ballot, of.levels


def _charged_ms(decision: Decision) -> int:
    """Return as of when the limits' levels are: buckets', then seconds of a composite."""
    if decision.trigger in BY_LIMIT:
        # Before its deadline: and that of a trace that the wall clock cut may lie after it.
        return decision.time_ms
    return max(one[1] if len(one) == 2 else one[0] * 1_000 for one in decision.levels)


def _folded(of: OfPartition, decision: Decision, core: Core) -> tuple[OpenTrace, list[Fragment]]:
    """Return the trace of the records that a decision covers, and its fragments."""
    trace = OpenTrace(decision.trace_id, 0, 0, 0)
    fragments: list[Fragment] = []
    for offset in decision.offsets:
        for fragment in scan(of.entries[offset].value, core.rules.plan).fragments:
            if fragment.trace_id == decision.trace_id:
                trace.fold(fragment, offset)
                fragments.append(fragment)
    return trace, fragments


def _judged(policies: Policies, trace: OpenTrace, fragments: Sequence[Fragment]) -> Judgement:
    spans = 0
    for fragment in fragments if policies.at_ingest else ():
        spans += fragment.spans
        judged = policies.judge_ingest(fragment, spans)
        if judged is not None:
            return judged
    return policies.judge_cut(trace, lambda: [fragment.body for fragment in fragments], due_ms=0)


def _accounted(of: OfPartition) -> Iterator[Broken]:
    """Law 1, from the topics: what the decisions cover is what was sent."""
    if of.lost or of.forgotten:
        return
    sent = sum(len(span_ids) for one in of.entries for span_ids in one.spans.values())
    covered = sum(one.spans for one in of.decisions if one.trigger not in PROMOTIONS)
    if sent != covered:
        yield Broken("accounting", f"{sent} spans sent, {covered} covered")


def _dead_letters(watch: Watch, partitions: int, *, transactional: bool) -> Iterator[Broken]:
    """Once each; where the hints were lost, they may come again."""
    every = {
        (number, offset, reason)
        for number in range(partitions)
        for offset, sent in enumerate(watch.entries(number))
        for reason in sent.bad
    }
    lost = {key for key in every if key[1] in watch.excused.lost[key[0]]}
    found = {k: n for k, n in watch.published.dead_letters().items() if k[2] not in OF_A_TRACE}
    if not every - lost <= found.keys() <= every:
        how = f"missing {sorted(every - lost - found.keys())}, odd {sorted(found.keys() - every)}"
        yield Broken("dead letters", how)
    twice = [key for key, count in found.items() if count > 1]
    if twice and transactional and not watch.excused.hints_dropped:
        yield Broken("dead letters", f"twice: {twice}")


def name_of(trace_id: bytes) -> str:
    return trace_id[-2:].hex()
