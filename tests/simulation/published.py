"""What a read_committed reader of the workers' topics is given."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from stream.sampling.decision import Decision, decode
from stream.testing.core import IDENTITY
from stream.testing.log import DECISIONS, Broker
from stream.testing.spans import spans_of
from tests.simulation.traffic import half_of

OUTPUT = "output"
DEAD_LETTERS = "dead_letters"


class Published:
    """Decisions, kept spans and dead letters; what was read is remembered.

    `forget` keeps for the reader what is about to leave the decisions topic with the topic itself.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._before: defaultdict[int, list[tuple[int, Decision]]] = defaultdict(list)
        self._decoded: dict[tuple[int, int], Decision | None] = {}
        self._found: dict[int, tuple[int, list[tuple[int, Decision]]]] = {}
        self._covered: dict[int, tuple[int, Counter[tuple[bytes, int]]]] = {}
        self._dead: tuple[int, Counter[tuple[int, int, str]]] = (-1, Counter())

    def forget(self, number: int) -> None:
        """The decisions topic's partition is made anew after this."""
        self._before[number] += self._present(number)
        self._found.pop(number, None)
        self._covered.pop(number, None)
        self._decoded = {key: one for key, one in self._decoded.items() if key[0] != number}

    def decisions(self, number: int) -> list[Decision]:
        """Return every decision of a partition that was ever visible, in order."""
        return [one for _, one in (*self._before[number], *self._present(number))]

    def decisions_below(self, number: int, first: int, end: int) -> list[Decision]:
        """Return the decisions at these offsets of the topic as it is."""
        return [one for offset, one in self._present(number) if first <= offset < end]

    def covered(self, number: int) -> Counter[tuple[bytes, int]]:
        """Count how often each (trace, record) is covered by a decision."""
        size = len(self._broker.topics[DECISIONS][number].records)
        held = self._covered.get(number)
        if held is None or held[0] != size:
            counts = Counter(
                (decision.trace_id, offset)
                for decision in self.decisions(number)
                for offset in decision.offsets
            )
            held = self._covered[number] = (size, counts)
        return held[1]

    def dead_letters(self) -> Counter[tuple[int, int, str]]:
        """Count the dead letters by (partition, offset, reason)."""
        log = self._broker.topics[DEAD_LETTERS][0]
        if self._dead[0] != log.end:
            found: Counter[tuple[int, int, str]] = Counter()
            for record in log.committed():
                headers = {name: value.decode() for name, value in record.headers}
                where = int(headers["tailstream.partition"]), int(headers["tailstream.offset"])
                found[(*where, headers["tailstream.reason"])] += 1
            self._dead = (log.end, found)
        return self._dead[1]

    def output(self, number: int) -> dict[bytes, Counter[bytes]]:
        """Count a partition's spans by trace, and by what `half_of` makes of each."""
        found: defaultdict[bytes, Counter[bytes]] = defaultdict(Counter)
        for record in self._broker.topics[OUTPUT][number].committed():
            for span in spans_of(record.value):
                found[span.trace_id][half_of(span)] += 1
        return dict(found)

    def _present(self, number: int) -> Sequence[tuple[int, Decision]]:
        log = self._broker.topics[DECISIONS][number]
        held = self._found.get(number)
        # A transaction that ends leaves a marker, so what is visible changes with the size only.
        if held is None or held[0] != len(log.records):
            every = [(r.offset, self._decode(number, r.offset, r.value)) for r in log.committed()]
            ours = [(offset, decision) for offset, decision in every if decision is not None]
            held = self._found[number] = (len(log.records), ours)
        return held[1]

    def _decode(self, number: int, offset: int, value: bytes) -> Decision | None:
        """Return a decision, None where it is another group's."""
        if (number, offset) not in self._decoded:
            decision, _, group = decode(value)
            self._decoded[number, offset] = decision if group == IDENTITY.group else None
        return self._decoded[number, offset]
