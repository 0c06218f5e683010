"""Rounds of promotions: what the partitions want read again is read, and given to them.

One round at a time, and none while what the last one brought has not committed: so what promotions
hold in memory is bounded by what a round may hold. A round ends soon, whoever wants what: a
promotion that takes long to read goes on in the next one, and the others are delivered meanwhile.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from stream.host import Host
from stream.kafka.client_settings import connection
from stream.kafka.partitioner import PARTITIONERS
from stream.kafka.promotion_reader import Pace, PromotionReader
from stream.kafka.receive import Receiver
from stream.metrics import Metrics
from stream.otlp.scan import ScanPlan
from stream.sampling.promotions import Found, Wanted
from stream.settings.model import Settings
from stream.worker.partition import Partition
from stream.worker.worker import Worker

ROUND_PROMOTIONS_MAX = 1_000


class Reader(Protocol):
    """Who reads the input again (`PromotionReader`)."""

    def __len__(self) -> int:
        """Return how many promotions the rounds have left that were."""

    def forget(self, number: int) -> None:
        """Read no more for a partition."""

    def read(
        self, wanted: Mapping[int, Sequence[Wanted]], ours: Callable[[int], bool]
    ) -> dict[int, list[Found]]:
        """Read a round, for these too; return what is whole by now, by partition."""

    def close(self) -> None:
        """Stop soon."""


class Promoting:
    """Runs the rounds on the loop, and the reading on a thread of its own."""

    def __init__(self, worker: Worker, reader: Reader) -> None:
        self._worker = worker
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, "tailstream-promotions")
        self._asked: dict[int, Partition] = {}

    async def round(self) -> None:
        """Run a round, if there is anything to read: it takes a few seconds at its pace."""
        partitions = dict(self._worker.partitions)
        if any(partition.sampler.promotions_queued for partition in partitions.values()):
            return
        for number, partition in self._asked.items():
            if partitions.get(number) is not partition:
                self._reader.forget(number)
        self._asked = partitions
        wanted = wanted_of(self._worker, ROUND_PROMOTIONS_MAX)
        if not wanted and not len(self._reader):
            return

        def ours(number: int) -> bool:
            return self._worker.partitions.get(number) is partitions[number]

        found = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._reader.read, wanted, ours
        )
        for number in found.keys() | wanted.keys():
            if ours(number):
                give(partitions[number], wanted.get(number, ()), found.get(number, ()))

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()


def give(partition: Partition, wanted: Sequence[Wanted], found: Sequence[Found]) -> None:
    """Give a partition what a round has found, and say which of those it wanted have to wait."""
    sampler = partition.sampler
    for one in found:
        sampler.found(one)
    sampler.defer(wanted)


def wanted_of(worker: Worker, count_max: int) -> dict[int, list[Wanted]]:
    """Return what is wanted since, by partition, each an equal share; count what must wait."""
    waiting = [p for p in worker.partitions.values() if p.sampler.promotions_unread]
    wanted: dict[int, list[Wanted]] = {}
    for left, partition in zip(range(len(waiting), 0, -1), waiting, strict=True):
        found = partition.sampler.wanted(max(1, count_max // left))
        count_max -= len(found)
        if found:
            wanted[partition.number] = found
    return wanted


def promoting_of(
    settings: Settings,
    host: Host,
    *,
    plan: ScanPlan,
    bytes_max: int,
    metrics: Metrics,
) -> Promoting:
    """Return the rounds of a host's worker with a reader of its own.

    `plan` is no other thread's. What they hold in memory is bounded by `bytes_max`.
    """

    def receiver() -> Receiver:
        made = Receiver(
            plan,
            PARTITIONERS[settings.topics.partitioner],
            copy_headers=settings.output.copy_headers,
        )
        made.poison = host.receiver.poison
        return made

    def count(records: int, size: int) -> None:
        metrics["promotion_records"].inc(records)
        metrics["promotion_bytes"].inc(size)

    promotion = settings.promotion
    pace = Pace(
        promotion.records_per_s,
        promotion.bytes_per_s,
        bytes_max,
        # The trace as it was judged, and as much again that came late.
        trace_bytes_max=2 * settings.limits.trace_bytes_max,
    )
    reader = PromotionReader(
        connection(settings.kafka), settings.topics.input, receiver=receiver, pace=pace, count=count
    )
    return Promoting(host.worker, reader)
