"""What a worker left in Kafka of a run, by trace."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stream.assembly.delivery import Deliveries, deliveries_of
from stream.assembly.trace import Trace, assemble
from stream.demo.recall.checkout import Checkout
from stream.kafka.topic_reader import ReadRecord
from stream.sampling.decision import PROMOTIONS, Decision, Trigger, Verdict, decode

BEFORE, DURING, AFTER = "before", "during", "after"


@dataclass(slots=True)
class Evidence:
    """Takes the records of the worker's output and decisions, each partition's in their order.

    `decisions` are the first real one of each trace, `pinned` when its pin came, by trace id.
    """

    topics: Mapping[str, str]
    decisions: dict[bytes, Decision] = field(default_factory=dict)
    output: dict[bytes, list[ReadRecord]] = field(default_factory=dict)
    pinned: dict[bytes, str] = field(default_factory=dict)
    decided_spans: int = 0
    _seen: set[tuple[bytes, tuple[int, ...]]] = field(default_factory=set)

    def add(self, record: ReadRecord) -> None:
        """Take a record."""
        if record.topic == self.topics["output"]:
            trace_id = bytes.fromhex(record.key.decode())
            self.output.setdefault(trace_id, []).append(record)
        elif record.topic == self.topics["decisions"]:
            self._add_decision(decode(record.value)[0])

    def is_kept(self, checkout: Checkout) -> bool:
        """Tell whether a checkout's trace is in the output, whole."""
        return self.span_ids(checkout.trace_id) == checkout.span_ids

    def span_ids(self, trace_id: bytes) -> set[bytes]:
        """Return the ids of a trace's spans in the output."""
        return {span.span_id for span in self.deliveries(trace_id).spans}

    def deliveries(self, trace_id: bytes) -> Deliveries:
        """Return a trace's deliveries, as `tailstream show` finds them."""
        return deliveries_of(self.output.get(trace_id, []), trace_id)

    def trace(self, trace_id: bytes) -> Trace | None:
        """Return a trace as `tailstream show` assembles it; None where it was not kept."""
        found = self.deliveries(trace_id)
        return assemble(found.spans, found.others) if found.spans else None

    def all_kept(self, checkouts: Iterable[Checkout]) -> bool:
        """Tell whether all these are in the output, whole."""
        return all(self.is_kept(each) for each in checkouts)

    @property
    def output_bytes(self) -> int:
        """The size of the output's values."""
        return sum(len(record.value) for records in self.output.values() for record in records)

    def _add_decision(self, decision: Decision) -> None:
        if decision.verdict is Verdict.PENDING:
            self.pinned.setdefault(decision.trace_id, BEFORE)
            return
        if decision.trigger in PROMOTIONS:
            self.pinned.setdefault(decision.trace_id, AFTER)
            return
        if decision.trigger is Trigger.PINNED:
            self.pinned.setdefault(decision.trace_id, DURING)
        delivery = (decision.trace_id, tuple(decision.offsets))
        if delivery not in self._seen:
            # `at_least_once` may write one twice.
            self._seen.add(delivery)
            self.decided_spans += decision.spans
            self.decisions.setdefault(decision.trace_id, decision)
