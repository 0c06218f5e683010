"""Kafka in memory, as far as the protocol leans on it: logs, transactions, group offsets, fencing.

What is modelled, after the broker's behaviour: a transaction leaves a marker in every partition it
wrote to; a read_committed reader sees nothing at or above the first open transaction, and nothing
that was aborted; offsets sent in a transaction hold the group's offset unstable until it ends; a
newer producer with the same transactional id aborts and fences the older one; a group refuses
offsets of a member or generation that is not its present one, when they are sent and only then.
A log can be cut from below, a topic can grow, a foreign producer can leave a transaction open.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from stream.kafka.commit import Headers, PartitionCommit, Produce
from stream.kafka.log_state import NO_OFFSET, LogState

INPUT = "input"
DECISIONS = "decisions"


class AbortableError(Exception):
    """The transaction must be aborted. `message_fault`: one of its records was refused."""

    def __init__(self, problem: str, *, message_fault: bool = False) -> None:
        super().__init__(problem)
        self.message_fault = message_fault


class OutOfRangeError(Exception):
    """The position lies below the log's start: retention has passed it."""


class FencedProducerError(Exception):
    """A newer producer uses the transactional id, or the coordinator timed this one out."""


class Outcome(Enum):
    """How a transaction stands."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(slots=True, eq=False)
class OpenTransaction:
    """One transaction of a producer: where it wrote, and the offsets it would commit."""

    outcome: Outcome = Outcome.OPEN
    first_offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    offsets: dict[int, tuple[int, str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record, or (`marker`) the end of a transaction, which takes an offset too."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Headers
    transaction: OpenTransaction | None = None
    marker: bool = False

    @property
    def visible(self) -> bool:
        """Whether a read_committed reader is given it, once it lies below the stable end."""
        if self.marker:
            return False
        return self.transaction is None or self.transaction.outcome is Outcome.COMMITTED


class PartitionLog:
    """One partition: records in order, and the transactions that are open in it.

    Records below `start` are gone for readers; `records` keeps them for whoever checks.
    """

    def __init__(self) -> None:
        self.records: list[StoredRecord] = []
        self.open: dict[OpenTransaction, int] = {}
        self.start = 0

    @property
    def end(self) -> int:
        """The offset after the last record, open transactions included."""
        return len(self.records)

    @property
    def stable_end(self) -> int:
        """The first offset of the oldest open transaction; the end without one."""
        return min(self.open.values(), default=self.end)

    def append(
        self,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Headers | None = None,
        timestamp_ms: int = 0,
        transaction: OpenTransaction | None = None,
        marker: bool = False,
    ) -> int:
        """Store a record and return its offset."""
        offset = self.end
        if transaction is not None and not marker:
            self.open.setdefault(transaction, offset)
        record = StoredRecord(offset, timestamp_ms, key, value, headers or [], transaction, marker)
        self.records.append(record)
        return offset

    def ended(self, transaction: OpenTransaction) -> None:
        """Write the marker of a transaction that wrote here."""
        self.append(b"", transaction=transaction, marker=True)
        del self.open[transaction]

    def delete_below(self, offset: int) -> None:
        """What retention does: never beyond the stable end."""
        self.start = max(self.start, min(offset, self.stable_end))

    def read(self, first: int, count_max: int) -> tuple[list[StoredRecord], int]:
        """Return committed records from `first` on, and the position after reading them.

        Raises:
            OutOfRangeError: `first` lies below the start.
        """
        if first < self.start:
            raise OutOfRangeError(f"{first} lies below {self.start}")
        found: list[StoredRecord] = []
        position = first
        while position < self.stable_end and len(found) < count_max:
            record = self.records[position]
            position += 1
            if record.visible:
                found.append(record)
        return found, position

    def committed(self) -> list[StoredRecord]:
        """Return all that a read_committed reader is given, once no transaction is open here."""
        return [record for record in self.records if record.visible]


@dataclass(frozen=True, slots=True)
class Membership:
    """Who commits: a member of the group, as of one generation."""

    member: str
    generation: int


@dataclass(slots=True)
class Group:
    """A consumer group's present generation and members, as its coordinator knows them."""

    generation: int = 0
    members: set[str] = field(default_factory=set)

    def check(self, membership: Membership | None) -> None:
        """Refuse who is not a member of the present generation."""
        if membership is None or membership.member not in self.members:
            raise AbortableError("unknown member")
        if membership.generation != self.generation:
            raise AbortableError("illegal generation")


@dataclass(frozen=True, slots=True)
class Session:
    """A producer that has called `init_transactions`."""

    transactional_id: str
    epoch: int


class Broker:
    """Topics, one consumer group of the input topic, and transactions over both.

    `partitions`: of each topic. `message_bytes_max`: values above it are refused, by topic.
    """

    def __init__(
        self, partitions: Mapping[str, int], *, message_bytes_max: Mapping[str, int] | None = None
    ) -> None:
        self.topics = {name: [PartitionLog() for _ in range(n)] for name, n in partitions.items()}
        self.group = Group()
        self.offsets: dict[int, tuple[int, str]] = {}
        self.positions: dict[int, int] = {}
        self._message_bytes_max = message_bytes_max or {}
        self._epochs: defaultdict[str, int] = defaultdict(int)
        self._transactions: dict[str, OpenTransaction] = {}

    def add_partition(self, topic: str) -> None:
        """Let a topic grow by one partition."""
        self.topics[topic].append(PartitionLog())

    # Producing

    def init_transactions(self, transactional_id: str) -> Session:
        """Fence whoever used the id before, abort what they left open."""
        self._epochs[transactional_id] += 1
        transaction = self._transactions.get(transactional_id)
        if transaction is not None:
            self._end(transactional_id, transaction, Outcome.ABORTED)
        return Session(transactional_id, self._epochs[transactional_id])

    def expire(self, transactional_id: str) -> bool:
        """`transaction.timeout.ms` has passed: abort and fence. False if none is open."""
        if transactional_id not in self._transactions:
            return False
        self.init_transactions(transactional_id)
        return True

    def is_current(self, session: Session) -> bool:
        """Tell whether nobody has fenced this producer."""
        return session.epoch == self._epochs[session.transactional_id]

    def produce(self, session: Session, commit: PartitionCommit, index: int) -> None:
        """Produce one record of a partition's share; the transaction begins with its first."""
        transaction = self._transaction(session)
        record = commit.records[index]
        number, offset = self._append(record, transaction)
        transaction.first_offsets.setdefault((record.topic, number), offset)

    def produce_at_once(self, commit: PartitionCommit, index: int) -> None:
        """Produce one record outside any transaction: every reader sees it from now on."""
        self._append(commit.records[index], None)

    def send_offsets(
        self, session: Session, commits: Sequence[PartitionCommit], membership: Membership | None
    ) -> None:
        """Add resume offsets and positions; the group checks who sends them."""
        transaction = self._transaction(session)
        assert commits, "an empty list is not fenced"
        self.group.check(membership)
        for one in commits:
            transaction.offsets[one.partition] = (one.resume_offset, one.metadata, one.position)

    def commit(self, session: Session) -> None:
        """End the transaction: its records become visible, its offsets the group's."""
        transaction = self._transaction(session)
        for number, (offset, metadata, position) in transaction.offsets.items():
            self.offsets[number] = (offset, metadata)
            self.positions[number] = position
        self._end(session.transactional_id, transaction, Outcome.COMMITTED)

    def commit_offsets(
        self, commits: Sequence[PartitionCommit], membership: Membership | None
    ) -> None:
        """Commit resume offsets and positions outside any transaction."""
        self.group.check(membership)
        for one in commits:
            self.offsets[one.partition] = (one.resume_offset, one.metadata)
            self.positions[one.partition] = one.position

    def abort(self, session: Session) -> None:
        """End the transaction: nothing of it happened."""
        transaction = self._transaction(session)
        self._end(session.transactional_id, transaction, Outcome.ABORTED)

    # Reading

    def stable(self, number: int) -> bool:
        """Tell whether no open transaction holds the group's offset of a partition."""
        return all(number not in one.offsets for one in self._transactions.values())

    def log_state(self, number: int) -> LogState:
        """Return what a partition's new owner asks for. Its offset must be stable."""
        assert self.stable(number)
        committed, metadata = self.offsets.get(number, (NO_OFFSET, None))
        spans, decisions = self.topics[INPUT][number], self.topics[DECISIONS][number]
        return LogState(committed, metadata, spans.start, spans.end, decisions.start, decisions.end)

    def _append(self, record: Produce, transaction: OpenTransaction | None) -> tuple[int, int]:
        limit = self._message_bytes_max.get(record.topic)
        if limit is not None and len(record.value) > limit:
            raise AbortableError(f"{record.topic} takes {limit} bytes", message_fault=True)
        number = 0 if record.partition is None else record.partition
        log = self.topics[record.topic][number]
        offset = log.append(
            record.value, key=record.key, headers=record.headers, transaction=transaction
        )
        return number, offset

    def _transaction(self, session: Session) -> OpenTransaction:
        if not self.is_current(session):
            raise FencedProducerError(session.transactional_id)
        return self._transactions.setdefault(session.transactional_id, OpenTransaction())

    def _end(self, transactional_id: str, transaction: OpenTransaction, outcome: Outcome) -> None:
        transaction.outcome = outcome
        for topic, number in transaction.first_offsets:
            self.topics[topic][number].ended(transaction)
        del self._transactions[transactional_id]
