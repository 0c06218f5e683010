"""What `tailstream show` says beside the tree: why, from where, what is missing; or of nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stream.assembly.delivery import Deliveries, Delivery
from stream.assembly.node import Top
from stream.assembly.notes import told
from stream.assembly.trace import Trace
from stream.cli.decisions import others_line
from stream.explain import Recorded, in_one_line, time_of
from stream.sampling.decision import Trigger, Verdict
from stream.settings.model import Settings
from stream.settings.units import format_duration

ABSENT_MAX = 5


@dataclass(slots=True)
class Looked:
    """Where was looked for a trace, and its decisions.

    `others` decision records were of no use; `unread` says why none could be read.
    `retention_ms` is the output's, -1 without one, None where nobody knows.
    """

    trace_id: str
    since_ms: int
    decisions: list[Recorded] = field(default_factory=list)
    others: int = 0
    unread: str = ""
    partitions: list[int] = field(default_factory=list)
    records: int = 0
    retention_ms: int | None = None


def lines_of(settings: Settings, trace: Trace, found: Deliveries, looked: Looked) -> Iterator[str]:
    """Yield what is said of a trace before its tree."""
    yield _summary(trace)
    yield _why(settings, found.deliveries, looked)
    yield from _decided_apart(settings, looked)
    yield _where(settings, found.deliveries, looked)
    yield from _missing(trace, found, looked)
    for span_id, linking in trace.linked_absent[:ABSENT_MAX]:
        yield (
            f"linked from {told(linking.name)}, span {linking.span_id.hex()} of trace "
            f"{linking.trace_id.hex()}, to span {span_id.hex()}, which is not here"
        )
    if len(trace.linked_absent) > ABSENT_MAX:
        yield f"and {len(trace.linked_absent) - ABSENT_MAX:,} links more to spans not here"


def nothing(settings: Settings, looked: Looked) -> str:
    """Return what is known of a trace of which the output has no span."""
    if not looked.decisions:
        return "\n".join(_unknown(settings, looked))
    first, *_ = chains = _chains(looked.decisions)
    lines = [f"{looked.trace_id} was {in_one_line(first, settings)}."]
    lines += _decided_apart(settings, looked)
    if _verdict(first) is not Verdict.NOT_SAMPLED:
        lines.append(
            f"But {_looked_in(settings, looked)}. Either it was deleted there, or it went to "
            f"another topic than topics.output.{_retention(settings, looked)}"
        )
    apart = " --all-partitions" if len(chains) > 1 else ""
    return "\n".join([*lines, f"More: tailstream explain {looked.trace_id}{apart}"])


def _summary(trace: Trace) -> str:
    parts = [_count(len(trace.nodes), "span"), f"of {_count(len(trace.services), 'service')}"]
    told = [f"{trace.failed:,} with an error"] if trace.failed else []
    for top, noun in ((Top.ROOT, "root"), (Top.ORPHAN, "orphan"), (Top.CYCLE, "circle")):
        number = sum(each.top is top for each in trace.tops)
        if number and (len(trace.tops) > 1 or top is not Top.ROOT):
            told.append(_count(number, noun))
    if all(each.top is not Top.ROOT for each in trace.tops):
        told.append("no root")
    if trace.duplicates:
        told.append(f"{trace.duplicates:,} came more than once")
    return ", ".join([" ".join(parts), *told])


def _why(settings: Settings, deliveries: Sequence[Delivery], looked: Looked) -> str:
    if looked.decisions:
        return in_one_line(_chains(looked.decisions)[0], settings)
    first = deliveries[0]
    kept = f"kept by {first.policy} ({first.trigger})"
    if looked.unread:
        return f"{kept}, more is not known: {looked.unread}"
    return (
        f"{kept}, more is not known: {settings.topics.decisions} has no decision of group "
        f"{settings.worker.group} on it since {time_of(looked.since_ms)}"
    )


def _decided_apart(settings: Settings, looked: Looked) -> Iterator[str]:
    """Yield what was decided of parts that lay in other partitions of the input."""
    for records in _chains(looked.decisions)[1:]:
        yield (
            f"a part of it lay in partition {records[0].partition} and was decided apart: "
            f"{in_one_line(records, settings)}"
        )


def _chains(records: Sequence[Recorded]) -> list[list[Recorded]]:
    """Return a trace's records by partition: what was kept first, then as they were found.

    It has them in two where partitions were added beneath it: each decides what it has. A pin
    that waits where no span came decides nothing, and is left out beside what does.
    """
    chains: dict[int, list[Recorded]] = {}
    for record in records:
        chains.setdefault(record.partition, []).append(record)
    found = list(chains.values())
    decided = [each for each in found if _verdict(each) is not Verdict.PENDING]
    return sorted(decided or found, key=lambda each: _verdict(each) is not Verdict.SAMPLED)


def _verdict(records: Sequence[Recorded]) -> Verdict:
    """Return what counts of a partition's records: a verdict changes one way only, to kept."""
    verdicts = {each.decision.verdict for each in records}
    return next(
        (one for one in (Verdict.SAMPLED, Verdict.NOT_SAMPLED) if one in verdicts), Verdict.PENDING
    )


def _where(settings: Settings, deliveries: Sequence[Delivery], looked: Looked) -> str:
    numbers = sorted({each.partition for each in deliveries})
    triggers = ", ".join(each.trigger for each in deliveries)
    topic = settings.topics.output
    return (
        f"{_count(len(deliveries), 'delivery', 'deliveries')} ({triggers}) in {topic}, "
        f"{_partitions(numbers)}; links to it were looked for in {_partitions(looked.partitions)}, "
        f"since {time_of(looked.since_ms)}"
    )


def _missing(trace: Trace, found: Deliveries, looked: Looked) -> Iterator[str]:
    for each in found.deliveries:
        if len(each.parts) < each.parts_of:
            yield (
                f"only {len(each.parts)} of {each.parts_of} records of the delivery at offset "
                f"{each.offset} are there"
            )
    kept = [r.decision for r in looked.decisions if r.decision.verdict is Verdict.SAMPLED]
    delivered = sum(each.spans - each.duplicates - each.dead_lettered for each in kept)
    present = len(trace.nodes) + trace.duplicates
    if delivered > present:
        yield (
            f"{_count(delivered - present, 'span')} more delivered, and not found since "
            f"{time_of(looked.since_ms)}: deleted meanwhile, or look further back with --since"
        )
    if any(chain[0].decision.trigger is Trigger.LATE for chain in _chains(looked.decisions)):
        yield "its first decision is older: look further back with --since"
    if found.unreadable:
        yield f"{_count(found.unreadable, 'record')} that named it could not be decoded"


def _unknown(settings: Settings, looked: Looked) -> Iterator[str]:
    yield f"Nothing is known of {looked.trace_id}: {_looked_in(settings, looked)}, and"
    if looked.unread:
        yield f"its decisions could not be read: {looked.unread}."
    else:
        yield f"{settings.topics.decisions} has no decision on it of group {settings.worker.group}."
    if looked.others:
        yield others_line(looked.others)
    wait = format_duration(settings.tail_sampling.decision_wait_s)
    yield (
        f"Either it is still open (decision_wait is {wait}), or it was decided before that "
        f"(--since 24h looks further back), or none of its spans came to "
        f"{settings.topics.input}.{_retention(settings, looked)}"
    )


def _looked_in(settings: Settings, looked: Looked) -> str:
    return (
        f"{settings.topics.output} has no span of it since {time_of(looked.since_ms)} "
        f"({_partitions(looked.partitions)}, {_count(looked.records, 'record')} read)"
    )


def _retention(settings: Settings, looked: Looked) -> str:
    if looked.retention_ms is None:
        return ""
    keeps = "for ever"
    if looked.retention_ms >= 0:
        keeps = f"for {format_duration(looked.retention_ms / 1000)}"
    return f" {settings.topics.output} keeps its records {keeps}."


def _partitions(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"partition {numbers[0]}"
    return f"{len(numbers):,} partitions"


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"
