"""Reads for promotions from the log in memory, as `PromotionReader` reads from Kafka."""

from collections.abc import Callable, Iterator, Sequence

from stream.kafka import sweep as sweeps
from stream.kafka.rereading import Rereading
from stream.kafka.sweep import Sweep, Turn
from stream.sampling.promotions import Wanted
from stream.sampling.record import Record
from stream.testing.log import PartitionLog, StoredRecord
from stream.worker.worker import Worker

BODIES_BYTES_MAX = 1 << 30


class Promoter:
    """The rounds of one worker process: each step begins one, or reads on.

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
        self.rereading = Rereading()
        self.turn: Turn | None = None
        self._passes: Iterator[tuple[int, Sweep]] = iter(())
        self._pass: tuple[int, Sweep] | None = None
        self._held_bytes_max = 0
        self._told: tuple[int, Sequence[Wanted]] = 0, ()

    @property
    def partitions(self) -> list[int]:
        """Those whose promotions want something read, or are being read."""
        ours = self._worker.partitions
        unread = {number for number, one in ours.items() if one.sampler.promotions_unread}
        return sorted(unread.union(self.under_way))

    @property
    def under_way(self) -> list[int]:
        """Those that are being read."""
        return sorted({want.number for want in self.rereading})

    def read(self, number: int, records_max: int, bodies_bytes_max: int = BODIES_BYTES_MAX) -> bool:
        """Begin a round, with what this partition wants, too, or read on, so many records.

        What begins a round says how long its turns are. At its end, give what is whole. False if
        there is nothing to read yet.
        """
        if self.turn is None:
            return self._begin(number, Turn(records_max, 1 << 60, bodies_bytes_max))
        if self._pass is None and (following := next(self._passes, None)) is not None:
            self._pass = following
        elif self._pass is None:
            self._end()
        else:
            self._read_on(*self._pass, records_max)
        return True

    def begin_anew(self, number: int) -> bool:
        """Reading has failed; False if nothing was being read."""
        failed = [want for want in self.rereading if want.number == number]
        self._leave(number)
        for want in failed:
            want.begin_anew()
        return bool(failed)

    def forget(self, number: int) -> None:
        """The partition is somebody else's."""
        self._leave(number)
        self.rereading.forget(number)
        if self._told[0] == number:
            self._told = number, ()

    def _begin(self, number: int, turn: Turn) -> bool:
        wanted = self._worker.partitions[number].sampler.wanted(3 + round(turn.records))
        self.rereading.add({number: wanted})
        if not len(self.rereading):
            return False
        self.turn = turn
        self._told = number, wanted
        # Turns of the bodies of one trace hold but what the oldest has.
        self._held_bytes_max = round(turn.bodies_bytes) - 1
        self._passes = self.rereading.passes(turn)
        return True

    def _read_on(self, number: int, sweep: Sweep, records_max: int) -> None:
        log = self._log(number)
        sweep.gone_below(log.start)
        if sweep.next() is None:
            sweep.end()
            self._pass = None
        left = records_max
        while left > 0 and (at := sweep.next()) is not None:
            # As a client does: a few at a time, for it may begin anew elsewhere.
            count = min(left, sweeps.SKIP_OFFSETS_MIN)
            found, position = log.read(max(at, log.start), count)
            size = sum(len(record.value) for record in found)
            sweep.take(list(map(self._scanned, found)), size=size, position=position)
            left -= count

    def _end(self) -> None:
        self.turn = None
        partitions = self._worker.partitions
        for number, found in self.rereading.whole(self._held_bytes_max).items():
            for one in found:
                partitions[number].sampler.found(one)
        told_by, told = self._told
        if told:
            partitions[told_by].sampler.defer(told)

    def _leave(self, number: int) -> None:
        """Stop the pass over this partition."""
        if self._pass is not None and self._pass[0] == number:
            self._pass = None
