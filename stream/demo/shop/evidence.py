"""All that a run of the shop left in Kafka, and what its caller was answered."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stream.demo.shop.cuts import by_trace
from stream.demo.shop.fate import Fate
from stream.demo.shop.seen import Seen, SpanId, seen_in
from stream.demo.shop.service import CONSUMERS, Service
from stream.kafka.topic_reader import ReadRecord
from stream.propagation.carry import creation_context_of
from stream.sampling.decision import Decision, Verdict, decode

DEAD_LETTERS = "dead_letters"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the caller of one checkout knows. `sampled`: the flag that the gateway set."""

    number: int
    fate: Fate
    status: int
    trace_id: str
    sampled: bool


@dataclass(frozen=True, slots=True)
class Told:
    """A message on the checkouts topic, and the headers that it has there."""

    partition: int
    offset: int
    headers: tuple[tuple[str, str], ...]
    creator: SpanId | None
    sampled: bool


@dataclass(slots=True)
class Evidence:
    """Takes the records of the run's topics as they come; `topics` by their role.

    `spans` are those of the input, whose records are `sent`; `kept` those of the output by trace
    id, with their OTLP in `values`; `decisions` the first of each trace. `exported` and `dropped`
    are the services' own counts of their spans.
    """

    topics: Mapping[str, str]
    replies: list[Reply] = field(default_factory=list)
    spans: list[Seen] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    messages: list[Told] = field(default_factory=list)
    decisions: dict[str, Decision] = field(default_factory=dict)
    kept: dict[str, list[Seen]] = field(default_factory=dict)
    values: dict[str, bytes] = field(default_factory=dict)
    dead_letters: int = 0
    exported: int = 0
    dropped: int = 0
    _roles: dict[str, str] = field(init=False)
    _linked: set[tuple[str, SpanId]] = field(default_factory=set)
    _decided: int = 0
    _delivered: int = 0
    _output: int = 0

    def __post_init__(self) -> None:
        self._roles = {name: role for role, name in self.topics.items()}

    def add(self, record: ReadRecord) -> None:
        """Take a record of any of the topics."""
        role = self._roles[record.topic]
        if role == "input":
            self._add_spans(record.value)
        elif role == "checkouts":
            self.messages.append(_told(record))
        elif role == "decisions":
            self._add_decision(decode(record.value)[0])
        elif role == "output":
            self._add_output(record.key.decode(), record.value)
        else:
            self.dead_letters += 1

    def add_account(self, account: Mapping[str, int]) -> None:
        """Take a service's count of its own spans."""
        self.exported += account["exported"]
        self.dropped += account["dropped"]

    @property
    def traces(self) -> dict[str, list[Seen]]:
        """The spans of each trace of the input."""
        return by_trace(self.spans)

    @property
    def consumed(self) -> bool:
        """Whether each message that a checkout made was read back, and processed by all."""
        paid = sum(reply.status < 400 for reply in self.replies)  # noqa: PLR2004 - HTTP's errors
        return len(self.messages) >= paid and not list(self.unlinked())

    @property
    def settled(self) -> bool:
        """Whether every exported span was read back and decided on, and the kept ones came out."""
        return (
            len(self.spans) >= self.exported
            and self._decided >= self.exported
            and self._output >= self._delivered
        )

    def hops(self) -> Iterator[tuple[Service, Told]]:
        """Yield every hop over the queue that has to leave a link.

        The ledger samples as the message says, so one that was not sampled leaves no span there.
        """
        for message in self.messages:
            for consumer in CONSUMERS:
                if message.sampled or consumer is Service.SHIPPING:
                    yield consumer, message

    def unlinked(self) -> Iterator[tuple[Service, Told]]:
        """Yield the hops of which no span of the consumer has a link."""
        for consumer, message in self.hops():
            if message.creator is None or (consumer, message.creator) not in self._linked:
                yield consumer, message

    def kept_by(self) -> Counter[str]:
        """Return how many traces each policy kept."""
        kept = (each for each in self.decisions.values() if each.verdict is Verdict.SAMPLED)
        return Counter(each.policy for each in kept)

    def _add_spans(self, value: bytes) -> None:
        self.sent.append(value)
        for span in seen_in(value):
            self.spans.append(span)
            self._linked.update((span.service, link) for link in span.links)

    def _add_decision(self, decision: Decision) -> None:
        self.decisions.setdefault(decision.trace_id.hex(), decision)
        self._decided += decision.spans
        if decision.verdict is Verdict.SAMPLED:
            self._delivered += decision.spans - decision.duplicates - decision.dead_lettered

    def _add_output(self, trace_id: str, value: bytes) -> None:
        spans = list(seen_in(value))
        self._output += len(spans)
        self.kept.setdefault(trace_id, []).extend(spans)
        # Joined OTLP messages are the merged message.
        self.values[trace_id] = self.values.get(trace_id, b"") + value


def _told(record: ReadRecord) -> Told:
    creator = creation_context_of(record.headers)
    return Told(
        record.partition,
        record.offset,
        tuple((name, value.decode(errors="replace")) for name, value in record.headers),
        SpanId(f"{creator.trace_id:032x}", f"{creator.span_id:016x}") if creator else None,
        creator is not None and creator.trace_flags.sampled,
    )
