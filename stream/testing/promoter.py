"""Reads for promotions from the log in memory, as `PromotionReader` reads from Kafka."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream.kafka.sweep import Sweep
from stream.sampling.promotions import Wanted
from stream.sampling.record import Record
from stream.testing.log import PartitionLog, StoredRecord
from stream.worker.worker import Worker

BYTES_MAX = 1 << 30


@dataclass(slots=True)
class _Pass:
    wanted: Sequence[Wanted]
    sweep: Sweep
    position: int = 0


class Promoter:
    """The passes of one worker process: each step reads on in one partition.

    `log` gives a partition of the input, `scanned` what a worker makes of its record.
    """

    def __init__(
        self,
        worker: Worker,
        log: Callable[[int], PartitionLog],
        scanned: Callable[[StoredRecord], Record],
    ) -> None:
        self._worker = worker
        self._log = log
        self._scanned = scanned
        self._passes: dict[int, _Pass] = {}

    @property
    def partitions(self) -> list[int]:
        """Those whose promotions want something read, or are being read."""
        ours = self._worker.partitions
        unread = {number for number, one in ours.items() if one.sampler.promotions_unread}
        return sorted(unread | (self._passes.keys() & ours.keys()))

    @property
    def under_way(self) -> list[int]:
        """Those that are being read."""
        return sorted(self._passes.keys() & self._worker.partitions.keys())

    def read(self, number: int, records_max: int, bytes_max: int = BYTES_MAX) -> bool:
        """Begin a pass, or read on, so many records; at its end, give what it has found.

        False if there is nothing to read yet.
        """
        sampler, log = self._worker.partitions[number].sampler, self._log(number)
        under_way = self._passes.get(number)
        if under_way is None:
            wanted = sampler.wanted(3 + records_max)
            if wanted:
                self._passes[number] = _Pass(wanted, Sweep(wanted, bytes_max=bytes_max))
            return bool(wanted)
        sweep = under_way.sweep
        sweep.gone_below(log.start)
        at = sweep.next(max(under_way.position, log.start))
        if at is not None:
            found, under_way.position = log.read(at, records_max)
            sweep.take([self._scanned(record) for record in found])
            return True
        del self._passes[number]
        sampler.defer(sweep.deferred)
        for one in sweep.end():
            sampler.found(one)
        return True

    def begin_anew(self, number: int) -> bool:
        """Reading has failed; False if nothing was being read."""
        failed = self._passes.get(number)
        if failed is None:
            return False
        self._passes[number] = _Pass(failed.wanted, Sweep(failed.wanted, bytes_max=BYTES_MAX))
        return True

    def forget(self, number: int) -> None:
        """The partition is somebody else's."""
        self._passes.pop(number, None)
