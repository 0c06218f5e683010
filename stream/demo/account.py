"""What came out, set against what was sent: where every span went, and whether traces are whole."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from stream.demo.story import Example, PolicyRow, Story
from stream.demo.truth import Truth
from stream.sampling.decision import Decision, Trigger, Verdict

REASON_HEADER = "tailstream.reason"
EXAMPLE_SPANS_MIN, EXAMPLE_SPANS_MAX = 4, 8


@dataclass(slots=True)
class _Fate:
    """What is known of one trace: its first decision, spans by that and by later ones."""

    decision: Decision
    delivered: int = 0
    delivered_late: int = 0
    dropped: int = 0
    dropped_late: int = 0


@dataclass(slots=True)
class _Output:
    values: list[bytes] = field(default_factory=list)
    span_ids: Counter[bytes] = field(default_factory=Counter)


class Account:
    """Takes the records of the worker's three topics as they come; each in its partition's order.

    A decision that covers the same records of a trace as one before is the same delivery made
    twice, as `at_least_once` allows, and is not counted again.
    """

    def __init__(self) -> None:
        self.dead_letters: Counter[str] = Counter()
        self.kept_traces = 0
        self.dropped_traces = 0
        self.late_spans = 0
        self.duplicates = 0
        self.dead_lettered = 0
        self._fates: dict[bytes, _Fate] = {}
        self._outputs: dict[bytes, _Output] = {}
        self._seen: set[tuple[bytes, tuple[int, ...]]] = set()
        self._accounted = 0
        self._delivered = 0
        self._output_spans = 0

    def add_decision(self, decision: Decision) -> None:
        """Take a record of the decisions topic, decoded."""
        delivery = (decision.trace_id, tuple(decision.offsets))
        if delivery in self._seen:
            return
        self._seen.add(delivery)
        fate = self._fates.get(decision.trace_id)
        if fate is None:
            fate = self._fates[decision.trace_id] = _Fate(decision)
            kept = decision.verdict is Verdict.SAMPLED
            self.kept_traces += kept
            self.dropped_traces += not kept
        self._count(fate, decision)

    def add_output(self, key: bytes, value: bytes) -> None:
        """Take a record of the output topic: its key, 32 hex, and its OTLP bytes."""
        output = self._outputs.setdefault(bytes.fromhex(key.decode()), _Output())
        output.values.append(value)
        ids = _span_ids(value)
        self._output_spans += sum(1 for each in ids if each not in output.span_ids)
        output.span_ids.update(ids)

    def add_dead_letter(self, headers: Iterable[tuple[str, bytes | str | None]]) -> None:
        """Take the headers of a record of the dead letters topic."""
        reasons = [value for name, value in headers if name == REASON_HEADER]
        reason = reasons[0] if reasons else None
        text = reason.decode() if isinstance(reason, bytes) else reason
        self.dead_letters[text or "no reason given"] += 1

    def is_settled(self, truth: Truth) -> bool:
        """Tell whether nothing more is to come: every span and malformed record is accounted for.

        Ask only once everything has been sent.
        """
        return (
            self._accounted >= truth.spans
            and self._output_spans >= self._delivered
            and self.dead_letters.total() >= truth.malformed
        )

    def story(self, truth: Truth, *, partitions: int, why: Mapping[str, str], end: str) -> Story:
        """Return the story so far.

        `why` says in words what a policy keeps, by its name; `end` is the story's last line.
        """
        fates = self._fates.values()
        kept = [fate for fate in fates if fate.decision.verdict is Verdict.SAMPLED]
        return Story(
            traces=truth.traces,
            spans=truth.spans,
            records=truth.records,
            partitions=partitions,
            late_spans=truth.late_spans,
            resent_spans=truth.resent_spans,
            malformed=truth.malformed,
            rows=_rows(kept, why),
            kept_traces=len(kept),
            whole_traces=sum(self._is_whole(fate, truth) for fate in kept),
            dropped_traces=self.dropped_traces,
            sampled=sum(fate.delivered for fate in fates),
            not_sampled=sum(fate.dropped for fate in fates),
            late_sampled=sum(fate.delivered_late for fate in fates),
            late_not_sampled=sum(fate.dropped_late for fate in fates),
            duplicates=self.duplicates,
            resent_dropped=sum(self._is_dropped(each) * n for each, n in truth.resent.items()),
            dead_lettered=self.dead_lettered,
            dead_letters=dict(self.dead_letters),
            delivered_twice=sum(
                sum(output.span_ids.values()) - len(output.span_ids)
                for output in self._outputs.values()
            ),
            example=self._example(kept),
            end=end,
        )

    def _count(self, fate: _Fate, decision: Decision) -> None:
        left = decision.spans - decision.duplicates - decision.dead_lettered
        late = decision.trigger is Trigger.LATE
        self._accounted += decision.spans
        self.duplicates += decision.duplicates
        self.dead_lettered += decision.dead_lettered
        if late:
            self.late_spans += left
        if decision.verdict is Verdict.SAMPLED:
            self._delivered += left
            fate.delivered += 0 if late else left
            fate.delivered_late += left if late else 0
        else:
            fate.dropped += 0 if late else left
            fate.dropped_late += left if late else 0

    def _is_dropped(self, trace_id: bytes) -> bool:
        fate = self._fates.get(trace_id)
        return fate is not None and fate.decision.verdict is Verdict.NOT_SAMPLED

    def _is_whole(self, fate: _Fate, truth: Truth) -> bool:
        output = self._outputs.get(fate.decision.trace_id)
        sent = truth.span_ids.get(fate.decision.trace_id)
        return output is not None and sent is not None and set(output.span_ids) == sent

    def _example(self, kept: Sequence[_Fate]) -> Example | None:
        """Return a kept trace that is good to look at: a slow one, and not too large to show."""
        shown = [fate for fate in kept if fate.decision.trace_id in self._outputs]
        if not shown:
            return None
        best = max(shown, key=_worth_a_look)
        values = self._outputs[best.decision.trace_id].values
        # Joined OTLP messages are the merged message.
        return Example(best.decision.trace_id, best.decision.policy, b"".join(values))


def _worth_a_look(fate: _Fate) -> tuple[bool, int, int]:
    decision = fate.decision
    fits = EXAMPLE_SPANS_MIN <= fate.delivered + fate.delivered_late <= EXAMPLE_SPANS_MAX
    return fits, fate.delivered * (decision.errors == 0), decision.duration_us


def _rows(kept: Iterable[_Fate], why: Mapping[str, str]) -> tuple[PolicyRow, ...]:
    """Return a row for each (policy, trigger), in the order of `why`, unknown policies last."""
    grouped: dict[tuple[str, str], list[_Fate]] = {}
    for fate in kept:
        decision = fate.decision
        grouped.setdefault((decision.policy, decision.trigger.value), []).append(fate)
    order = list(why)
    rows = [
        PolicyRow(
            policy,
            trigger,
            len(fates),
            sum(fate.delivered + fate.delivered_late for fate in fates),
            why.get(policy, ""),
        )
        for (policy, trigger), fates in grouped.items()
    ]
    last = len(order)
    return tuple(
        sorted(
            rows,
            key=lambda row: (
                order.index(row.policy) if row.policy in why else last,
                row.policy,
                row.trigger,
            ),
        )
    )


def _span_ids(value: bytes) -> list[bytes]:
    return [
        span.span_id
        for resource_spans in TracesData.FromString(value).resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]
