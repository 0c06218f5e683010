"""A worker: the partitions it owns, and the one transaction that is under way for them."""

from collections.abc import Callable, Collection, Sequence

from stream.kafka.commit import Receipt
from stream.sampling.delivery import DeadLetter
from stream.sampling.record import Record
from stream.worker.partition import Partition, PartitionPlan
from stream.worker.transaction import Bounds, Transaction


class Worker:
    """Folds records into its ready partitions, and plans and settles their transactions.

    It makes no client calls: who drives it performs what `plan` returns and reports how it ended.
    A partition enters by `ready` once its decisions are restored, so nothing is folded, decided or
    committed for it before.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.partitions: dict[int, Partition] = {}
        self._bounds = bounds or Bounds()
        self._planned: Transaction | None = None
        self._turn = 0
        self.more = False

    def ready(self, partition: Partition, *, whole: bool = True) -> None:
        """Take over a restored partition; not `whole`: but for decisions that no replay needs.

        Until it is told that it is whole, it folds and neither cuts nor commits anything.
        """
        assert partition.number not in self.partitions, "assigned twice"
        self.partitions[partition.number] = partition
        partition.sampler.cuts_held = not whole

    def fold(
        self,
        number: int,
        records: Sequence[Record],
        *,
        wall_ms: int | None,
        folded: Callable[[], None] = lambda: None,
    ) -> bool:
        """Fold one poll's records; False if the partition is not (or no longer) ours.

        `folded` is called once they need not be held any longer, at once but for the seconds in
        which older decisions are still being read.
        """
        partition = self.partitions.get(number)
        if partition is None:
            folded()
            return False
        partition.fold(records, wall_ms=wall_ms, folded=folded)
        return True

    def plan(self, only: Collection[int] | None = None) -> Transaction | None:
        """Plan a transaction over the partitions that have something to say, within the bounds.

        `more` says afterwards whether the bounds left deliveries over.
        """
        assert self._planned is None, "one transaction at a time"
        plans: list[PartitionPlan] = []
        count, size = self._bounds.deliveries, self._bounds.bytes
        for partition in self._rotated():
            if (only is not None and partition.number not in only) or not partition.changed:
                continue
            plan = partition.plan(count_max=max(0, count), bytes_max=max(0, size))
            count -= len(plan.settled)
            size -= plan.body_bytes
            plans.append(plan)
        self.more = any(plan.owner.sampler.undelivered for plan in plans)
        self._planned = Transaction(plans) if plans else None
        return self._planned

    def committed(self, receipt: Receipt) -> list[PartitionPlan]:
        """The planned transaction committed; returns its plans, but for partitions lost since."""
        transaction = self._end()
        self._bounds.committed(receipt.seconds)
        plans = self._still_ours(transaction)
        for plan in plans:
            plan.owner.committed(plan, decisions_end=receipt.decisions_end.get(plan.partition))
        return plans

    def aborted(self, *, message_fault: bool) -> bool:
        """The planned transaction was aborted; `message_fault`: for a fault of one of its records.

        Halving finds the culprit; alone in its transaction, it goes to the dead letters as a
        pointer. Returns True where even that was refused: it would be refused for ever.
        """
        transaction = self._end()
        delivered = [one.delivered for plan in transaction.plans for one in plan.settled]
        stuck = False
        if message_fault and (len(delivered) == 1 or _of_one_record(transaction)):
            stuck = all(one.undeliverable for one in delivered)
            for one in delivered:
                one.undeliverable = True
        self._bounds.failed(len(delivered))
        # Begin at the same partition again: were others to succeed in between, the bounds would
        # grow back before the culprit's turn, and it would never be alone.
        self._turn -= 1
        for plan in self._still_ours(transaction):
            plan.owner.aborted()
        return stuck

    def drop(self, numbers: Collection[int]) -> int:
        """Give partitions up, without a word to the broker; returns the spans released."""
        released = 0
        for number in numbers:
            partition = self.partitions.pop(number, None)
            if partition is not None:
                released += partition.sampler.open_spans
                partition.release()
        return released

    def _rotated(self) -> list[Partition]:
        """Each plan starts at another partition, so none waits behind a busy one for ever."""
        numbers = sorted(self.partitions)
        self._turn += 1
        start = self._turn % len(numbers) if numbers else 0
        return [self.partitions[n] for n in numbers[start:] + numbers[:start]]

    def _end(self) -> Transaction:
        assert self._planned is not None, "no transaction is under way"
        transaction, self._planned = self._planned, None
        return transaction

    def _still_ours(self, transaction: Transaction) -> list[PartitionPlan]:
        """Without the partitions that were lost while the transaction ran."""
        return [p for p in transaction.plans if self.partitions.get(p.partition) is p.owner]


def _of_one_record(transaction: Transaction) -> bool:
    """Tell whether it carries the dead letters of one record, which go together."""
    carried = {
        (plan.partition, isinstance(one.delivered, DeadLetter), one.delivered.first_offset)
        for plan in transaction.plans
        for one in plan.settled
    }
    return len(carried) == 1 and all(dead for _, dead, _ in carried)
