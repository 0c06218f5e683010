"""Drives a `Worker` against the log in memory, as `stream/host.py` drives it against Kafka.

Every method is one step between which a simulation may put a fault: crash by forgetting the driver,
pause by not calling it.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from stream.kafka.commit import Receipt
from stream.kafka.headers import kind_of, read_control
from stream.kafka.log_state import Identity
from stream.otlp.scan import ScanPlan, scan
from stream.sampling.record import Record, RecordKind
from stream.sampling.stores import DecisionStore
from stream.testing.core import as_received
from stream.testing.log import (
    DECISIONS,
    INPUT,
    AbortableError,
    Broker,
    Membership,
    PartitionLog,
    StoredRecord,
)
from stream.testing.promoter import Promoter
from stream.worker.partition import Partition
from stream.worker.restore import Restore, ResumePoint, resume_point
from stream.worker.transaction import Bounds, Transaction
from stream.worker.worker import Worker

LAST_TRANSACTIONS_MAX = 3


@dataclass(frozen=True, slots=True)
class Opened:
    """A partition's decision store, how to build the partition, and how to close its stores."""

    decisions: DecisionStore
    build: Callable[[ResumePoint, Restore], Partition]
    close: Callable[[], None]


class UnknownOutcomeError(Exception):
    """Whether the transaction committed cannot be known: the process must end."""


@dataclass(slots=True)
class _Restoring:
    opened: Opened
    point: ResumePoint
    restore: Restore
    position: int


class Driver:
    """One worker process: its assignments, restores, polls and transactions.

    `slot` is its transactional id. `open_partition` opens stores. Times in Unix milliseconds.
    `transactional` off is delivery at least once: the same steps, nothing undone by an abort.

    Raises from `turn` and `finish`:
        FencedProducerError, UnknownOutcomeError: the process must end.
    Raises from `poll`:
        OutOfRangeError: the process must end; the next one counts what is lost.
    """

    def __init__(
        self,
        broker: Broker,
        slot: str,
        *,
        open_partition: Callable[[int], Opened],
        plan: ScanPlan,
        identity: Identity,
        bounds: Bounds | None = None,
        transactional: bool = True,
    ) -> None:
        self.slot = slot
        self.worker = Worker(bounds)
        self.membership: Membership | None = None
        self.owned: set[int] = set()
        self.abortable = False
        self.points: dict[int, ResumePoint] = {}
        self._transactional = transactional
        self._broker = broker
        self._open = open_partition
        self._plan = plan
        self._identity = identity
        self._opened: dict[int, Opened] = {}
        self._restoring: dict[int, _Restoring | None] = {}
        self._completing: dict[int, _Restoring] = {}
        self._reading: dict[int, int] = {}
        self._inbox: deque[tuple[int, Sequence[Record]]] = deque()
        self._transaction: Iterator[None] | None = None
        self._ripe = False
        self.promoter = Promoter(self.worker, self._input, self._scanned)
        # Before any offset is read.
        self.session = broker.init_transactions(slot)

    # Assignments

    def assigned(self, membership: Membership, added: Collection[int]) -> None:
        """A rebalance callback: take the membership, begin to restore what is new."""
        self.membership = membership
        for number in added:
            self.owned.add(number)
            self._restoring[number] = None

    def restore(self, number: int) -> bool:
        """Restore a partition by a step; True if that led further.

        First what a replay needs: then it is ready. Then the older decisions.
        """
        if number in self._completing:
            return self._complete(number, self._completing[number])
        restoring = self._restoring[number]
        if restoring is None:
            return self._begin_restore(number)
        run, further = self._decisions(number, restoring)
        restoring.restore.read(run)
        point = restoring.point
        if restoring.position < self._within(number, point.decisions_end):
            return further
        del self._restoring[number]
        partition = restoring.opened.build(point, restoring.restore)
        partition.replay_upto = point.replay_upto
        self.worker.ready(partition, whole=not point.older_records)
        self._reading[number] = point.offset
        if point.older_records:
            restoring.position = point.decisions_from
            self._completing[number] = restoring
        return True

    def revoking(self, numbers: Collection[int]) -> Iterator[None]:
        """A rebalance callback, in steps: the transaction under way, then last ones; let go."""
        ours = self._forget(numbers)
        while self._transaction is not None:
            self.turn()
            yield
        for _ in range(LAST_TRANSACTIONS_MAX):
            if not self.begin(ours):
                break
            while self._transaction is not None:
                self.turn()
                yield
        self._drop(ours)

    def lost(self, numbers: Collection[int]) -> None:
        """A rebalance callback: somebody else's already. A transaction under way goes on."""
        self._drop(self._forget(numbers))

    def close(self) -> None:
        """The process is gone: its stores with it."""
        for opened in self._opened.values():
            opened.close()

    # Records

    @property
    def restoring(self) -> list[int]:
        """The partitions that are not ready, or do not know all of their decisions yet."""
        return [*self._restoring, *self._completing]

    def poll(self, number: int, records_max: int) -> int:
        """Fetch a partition's next records into the inbox; return how many offsets that passed."""
        position = self._reading[number]
        found, self._reading[number] = self._input(number).read(position, records_max)
        if found:
            self._inbox.append((number, as_received([self._scanned(record) for record in found])))
        return self._reading[number] - position

    def fold(self, wall_ms: int | None = None) -> bool:
        """Fold the oldest batch of the inbox; False if there is none.

        `wall_ms` clamps timestamps that producers set ahead.
        """
        if not self._inbox:
            return False
        number, records = self._inbox.popleft()
        self.worker.fold(number, records, wall_ms=wall_ms)
        return True

    def idle(self, number: int, wall_ms: int) -> bool:
        """Let the wall clock cut if the partition has been read, and folded, to its end.

        Not while it is being revoked: what was fetched then is not folded any more.
        """
        partition = self.worker.partitions.get(number)
        waits = any(waiting == number for waiting, _ in self._inbox)
        if partition is None or waits or number not in self.owned or partition.catching_up:
            return False
        end = self._input(number).end
        if max(self._reading[number], partition.sampler.position) != end:
            return False
        partition.sampler.idle(wall_ms=wall_ms, position=end)
        return True

    # Transactions

    @property
    def committing(self) -> bool:
        """Whether a transaction is under way."""
        return self._transaction is not None

    @property
    def standing(self) -> str:
        """How far the transaction under way has come, in words."""
        if self._transaction is None:
            return "no transaction is under way"
        return "a transaction is open" if self.abortable else "it has committed, untold"

    @property
    def writing(self) -> bool:
        """Whether the transaction under way does not hold its offsets yet."""
        return self._transaction is not None and self.abortable and not self._ripe

    @property
    def ripe(self) -> bool:
        """Whether the transaction under way holds its offsets: its commit is what comes next."""
        return self._ripe and self._transaction is not None

    def begin(self, only: Collection[int] | None = None) -> bool:
        """Plan a transaction; False if there is nothing to say."""
        assert self._transaction is None
        # Before the plan: never newer than the ownership that it vouches for.
        membership = self.membership
        transaction = self.worker.plan(only)
        if transaction is None:
            return False
        phases = self._phases if self._transactional else self._phases_at_least_once
        self._transaction = phases(transaction, membership)
        self.abortable = True
        self._ripe = False
        return True

    def turn(self) -> None:
        """Take the transaction under way a phase further: records, offsets, commit, told."""
        assert self._transaction is not None
        try:
            next(self._transaction)
        except StopIteration:
            self._transaction = None
        except AbortableError as refused:
            self.abort(message_fault=refused.message_fault)

    def abort(self, *, message_fault: bool = False) -> None:
        """Abort the transaction under way; not once it has been committed."""
        if self._transactional:
            self._broker.abort(self.session)
        self._transaction = None
        self.abortable = False
        self.worker.aborted(message_fault=message_fault)

    def commit_unanswered(self, *, landed: bool) -> None:
        """The commit is sent and never answered; `landed`: it happened all the same.

        Raises:
            UnknownOutcomeError: always.
        """
        assert self.ripe, "no commit is due"
        if landed:
            self._broker.commit(self.session)
        raise UnknownOutcomeError(self.slot)

    def finish(self) -> bool:
        """Run a whole transaction; False if there is nothing to say."""
        if self._transaction is None and not self.begin():
            return False
        while self._transaction is not None:
            self.turn()
        return True

    def _phases(self, transaction: Transaction, membership: Membership | None) -> Iterator[None]:
        ends: dict[int, int] = {}
        for plan in transaction.plans:
            for index, record in enumerate(plan.records):
                self._broker.produce(self.session, plan, index)
                if record.topic == DECISIONS:
                    ends[plan.partition] = self._broker.topics[DECISIONS][plan.partition].end
            if plan.records:
                yield
        self._broker.send_offsets(self.session, transaction.plans, membership)
        self._ripe = True
        yield
        self._broker.commit(self.session)
        self.abortable = self._ripe = False
        yield
        self.worker.committed(Receipt(ends, seconds=0.0))

    def _phases_at_least_once(
        self, transaction: Transaction, membership: Membership | None
    ) -> Iterator[None]:
        """Everything else lands before the decisions: a decision vouches for its delivery."""
        ends: dict[int, int] = {}
        for decisions in (False, True):
            for plan in transaction.plans:
                for index, record in enumerate(plan.records):
                    if (record.topic == DECISIONS) is decisions:
                        self._broker.produce_at_once(plan, index)
                        if decisions:
                            ends[plan.partition] = self._broker.topics[DECISIONS][
                                plan.partition
                            ].end
                        yield
        self._broker.commit_offsets(transaction.plans, membership)
        self.abortable = False
        yield
        self.worker.committed(Receipt(ends, seconds=0.0))

    # Helpers of the above

    def _complete(self, number: int, completing: _Restoring) -> bool:
        """Read older decisions by a step; then fold what has waited for them."""
        partition, restore = self.worker.partitions[number], completing.restore
        if completing.position < self._within(number, completing.point.first_phase_from):
            run, further = self._decisions(number, completing)
            partition.learn(restore.read_older(run))
            return further
        if partition.sampler.cuts_held:
            partition.whole(restore.older_log, list(restore.older_pins.items()))
        elif not partition.catch_up():
            del self._completing[number]
        return True

    def _decisions(self, number: int, reader: _Restoring) -> tuple[list[tuple[int, bytes]], bool]:
        """Read on, in short runs; where the log was cut meanwhile, from its start."""
        log = self._broker.topics[DECISIONS][number]
        before = reader.position
        run, reader.position = log.read(max(before, log.start), 2)
        return [(record.offset, record.value) for record in run], reader.position > before

    def _within(self, number: int, end: int) -> int:
        """Return where to stop reading decisions: a log made anew does not reach the old end."""
        return min(end, self._broker.topics[DECISIONS][number].end)

    def _begin_restore(self, number: int) -> bool:
        if not self._broker.stable(number):
            return False
        state = self._broker.log_state(number)
        point = resume_point(state, identity=self._identity, initial_offset="earliest")
        self.points[number] = point
        opened = self._opened[number] = self._open(number)
        restore = Restore(point, identity=self._identity, decisions=opened.decisions)
        self._restoring[number] = _Restoring(opened, point, restore, point.first_phase_from)
        return True

    def _forget(self, numbers: Collection[int]) -> list[int]:
        ours = [number for number in numbers if number in self.owned]
        self.owned.difference_update(ours)
        for number in ours:
            self._restoring.pop(number, None)
            self._completing.pop(number, None)
        self._inbox = deque(batch for batch in self._inbox if batch[0] not in ours)
        return ours

    def _drop(self, numbers: Collection[int]) -> None:
        self.worker.drop(numbers)
        for number in numbers:
            self._reading.pop(number, None)
            self.promoter.forget(number)
            opened = self._opened.pop(number, None)
            if opened is not None:
                opened.close()

    def _input(self, number: int) -> PartitionLog:
        return self._broker.topics[INPUT][number]

    def _scanned(self, stored: StoredRecord) -> Record:
        kind = kind_of(stored.headers, stored.value)
        record = Record(stored.offset, stored.timestamp_ms, kind, key=stored.key)
        if kind is RecordKind.CONTROL:
            read_control(record, stored.headers)
        elif kind is RecordKind.SPANS:
            found = scan(stored.value, self._plan)
            record.fragments, record.bad = found.fragments, found.bad
        return record
