"""The laws, asked of what a read_committed reader is given, and of the workers at every step."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from stream.sampling.decision import Clock, Decision, Trigger, Verdict, decode
from stream.sampling.delivery import DeadLetter
from stream.sampling.tail_sampler import TailSampler
from stream.testing.driver import Driver
from stream.testing.log import DECISIONS, INPUT, Broker
from stream.testing.spans import spans_of
from tests.simulation.traffic import Sent, Traffic

OUTPUT = "output"
DEAD_LETTERS = "dead_letters"
OF_A_TRACE = {"span_too_large", "undeliverable"}


class LawBrokenError(Exception):
    """A law does not hold."""


class Watch:
    """What must hold at every step: nothing is passed by that is undecided or undelivered."""

    def __init__(self, broker: Broker, traffic: Traffic) -> None:
        self._broker = broker
        self._traffic = traffic
        self._resumed = [0] * len(traffic.partitions)

    def check(self, drivers: Sequence[Driver]) -> None:
        """Raise if a worker's accounts or a committed offset are wrong."""
        for driver in drivers:
            for partition in driver.worker.partitions.values():
                open_spans = spans_held(partition.sampler)
                if partition.sampler.open_spans != open_spans:
                    self.broken(f"{partition.sampler.open_spans} spans open, {open_spans} held")
        for number, (offset, _) in self._broker.offsets.items():
            if offset != self._resumed[number]:
                self._resume_moved(number, offset)

    def finished(self) -> bool:
        """Tell whether everything has been committed."""
        offsets = self._broker.offsets
        return all(
            number in offsets and offsets[number][0] == len(entries)
            for number, entries in enumerate(self._traffic.partitions)
        )

    def broken(self, how: str) -> None:
        """Say which law is broken."""
        raise LawBrokenError(how)

    def _resume_moved(self, number: int, offset: int) -> None:
        before, self._resumed[number] = self._resumed[number], offset
        if offset < before:
            self.broken(f"partition {number}: the resume offset fell from {before} to {offset}")
        covered = covered_records(self._broker, number)
        dead = dead_letters(self._broker)
        for at in range(before, offset):
            sent = self._traffic.partitions[number][at]
            for trace_id in sent.spans:
                if (trace_id, at) not in covered:
                    self.broken(f"partition {number}: resume at {offset}, {at} is not decided")
            for reason in sent.bad:
                if not dead[number, at, reason]:
                    self.broken(f"partition {number}: resume at {offset}, {at} no dead letter")


def spans_held(sampler: TailSampler) -> int:
    """Count the spans that a sampler holds, one by one."""
    held = sum(trace.spans for trace in sampler._open.values())
    for one in (*sampler._undelivered, *sampler._in_flight):
        held += one.bad.spans if isinstance(one, DeadLetter) else one.decision.spans
    return held


def covered_records(broker: Broker, number: int) -> Counter[tuple[bytes, int]]:
    """Count how often each (trace, record) is covered by a committed decision."""
    return Counter(
        (decision.trace_id, offset)
        for decision in decisions(broker, number)
        for offset in decision.offsets
    )


def decisions(broker: Broker, number: int) -> list[Decision]:
    return [decode(record.value)[0] for record in broker.topics[DECISIONS][number].committed()]


def dead_letters(broker: Broker) -> Counter[tuple[int, int, str]]:
    """Count the dead letters by (partition, offset, reason)."""
    found: Counter[tuple[int, int, str]] = Counter()
    for record in broker.topics[DEAD_LETTERS][0].committed():
        headers = {name: value.decode() for name, value in record.headers}
        where = int(headers["tailstream.partition"]), int(headers["tailstream.offset"])
        found[(*where, headers["tailstream.reason"])] += 1
    return found


def laws_broken(
    broker: Broker, traffic: Traffic, calm: Broker | None, *, hints_dropped: bool
) -> list[str]:
    """Return every law that does not hold at the end, in words.

    `calm` is what was written undisturbed; None where nothing is promised about it: with
    `CreateTime`, the partition time at the resume offset is known by the hints alone.
    """
    broken: list[str] = []
    for number, entries in enumerate(traffic.partitions):
        found = decisions(broker, number)
        broken += _decided_once(entries, found)
        broken += _delivered_once(entries, found, _output(broker, number))
        if calm is not None:
            broken += _as_undisturbed(found, decisions(calm, number))
        broken += _accounted(entries, found)
    broken += _dead_letters(broker, traffic, hints_dropped=hints_dropped)
    broken += [
        f"partition {number}: position {broker.positions.get(number)}, the log ends at {log.end}"
        for number, log in enumerate(broker.topics[INPUT])
        if broker.positions.get(number) != log.end
    ]
    return broken


def _by_trace(found: Sequence[Decision]) -> dict[bytes, list[Decision]]:
    traces: defaultdict[bytes, list[Decision]] = defaultdict(list)
    for decision in found:
        traces[decision.trace_id].append(decision)
    return traces


def _decided_once(entries: Sequence[Sent], found: Sequence[Decision]) -> list[str]:
    """One verdict a trace; each of its records is covered once, below a rising `upto`."""
    broken = []
    records: defaultdict[bytes, list[int]] = defaultdict(list)
    for offset, sent in enumerate(entries):
        for trace_id in sent.spans:
            records[trace_id].append(offset)
    by_trace = _by_trace(found)
    if by_trace.keys() != records.keys():
        broken.append(f"decided {len(by_trace)} of {len(records)} traces")
    for trace_id, of_trace in by_trace.items():
        name = trace_id[-2:].hex()
        late = [one.trigger is Trigger.LATE for one in of_trace]
        if late != [False, *[True] * (len(of_trace) - 1)]:
            broken.append(f"trace {name} decided {[str(one.trigger) for one in of_trace]}")
        if len({(one.verdict, one.policy, one.threshold) for one in of_trace}) != 1:
            broken.append(f"trace {name} has verdicts {[str(one.verdict) for one in of_trace]}")
        covered = [offset for one in of_trace for offset in one.offsets]
        if covered != records[trace_id]:
            broken.append(f"trace {name} covers {covered}, lies at {records[trace_id]}")
        uptos = [one.upto for one in of_trace]
        if uptos != sorted(set(uptos)):
            broken.append(f"trace {name} has uptos {uptos}")
    return broken


def _delivered_once(
    entries: Sequence[Sent], found: Sequence[Decision], output: dict[bytes, Counter[bytes]]
) -> list[str]:
    """Every span of a kept trace once in the output, none of a dropped one."""
    broken = []
    spans: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for sent in entries:
        for trace_id, span_ids in sent.spans.items():
            spans[trace_id].update(span_ids)
    for trace_id, of_trace in _by_trace(found).items():
        name = trace_id[-2:].hex()
        wanted = set() if of_trace[0].verdict is Verdict.NOT_SAMPLED else spans[trace_id]
        got = output.pop(trace_id, Counter())
        if any(one.dead_lettered for one in of_trace):
            # A delivery that the broker refuses is a pointer in the dead letters.
            wanted = wanted & got.keys()
        if wanted != got.keys():
            broken.append(f"trace {name}: {len(wanted - got.keys())} missing, {got} in the output")
        twice = [span_id for span_id, count in got.items() if count > 1]
        if twice:
            broken.append(f"trace {name}: {len(twice)} spans twice")
    if output:
        broken.append(f"{len(output)} traces in the output that nobody decided")
    return broken


def _as_undisturbed(found: Sequence[Decision], calm: Sequence[Decision]) -> list[str]:
    """Law 5: what the log cut, it cut as without any fault."""
    broken = []
    expected = _by_trace(calm)
    for trace_id, of_trace in _by_trace(found).items():
        cut, *late = of_trace
        if cut.clock is Clock.WALL or trace_id not in expected:
            continue
        cut_calmly, *late_calmly = expected[trace_id]
        if _content(cut) != _content(cut_calmly):
            broken.append(f"cut {cut}, undisturbed {cut_calmly}")
        if sum(one.spans for one in late) != sum(one.spans for one in late_calmly):
            broken.append(f"late {late}, undisturbed {late_calmly}")
    return broken


def _content(decision: Decision) -> Decision:
    """The decision without what a refusing broker makes of its delivery."""
    if not decision.dead_lettered:
        return replace(decision, span_ids=b"", duplicates=0)
    return replace(decision, span_ids=b"", duplicates=0, dead_lettered=0)


def _accounted(entries: Sequence[Sent], found: Sequence[Decision]) -> list[str]:
    """Law 1, from the topics: what the decisions cover is what was sent."""
    sent = sum(len(span_ids) for one in entries for span_ids in one.spans.values())
    covered = sum(one.spans for one in found)
    return [] if sent == covered else [f"{sent} spans sent, {covered} covered"]


def _dead_letters(broker: Broker, traffic: Traffic, *, hints_dropped: bool) -> list[str]:
    """Once each; where the hints were lost, they may come again."""
    expected = {
        (number, offset, reason)
        for number, entries in enumerate(traffic.partitions)
        for offset, sent in enumerate(entries)
        for reason in sent.bad
    }
    found = Counter({k: n for k, n in dead_letters(broker).items() if k[2] not in OF_A_TRACE})
    if found.keys() != expected:
        return [f"dead letters {sorted(found)}, expected {sorted(expected)}"]
    twice = [key for key, count in found.items() if count > 1]
    return [f"dead letters twice: {twice}"] if twice and not hints_dropped else []


def _output(broker: Broker, number: int) -> dict[bytes, Counter[bytes]]:
    found: defaultdict[bytes, Counter[bytes]] = defaultdict(Counter)
    for record in broker.topics[OUTPUT][number].committed():
        for span in spans_of(record.value):
            found[span.trace_id][span.span_id] += 1
    return dict(found)
