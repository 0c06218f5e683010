"""Everything that happens in a run, in the order of its time: spans leave, metrics are exported."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from stream.demo.recall.checkout import Checkout
from stream.demo.record import Record
from stream.demo.shop_shape import INSTANCES

EXPORT_EVERY_S = 5.0
PIPELINE_DELAYS_S = (0.0, 1.5, 6.0)
"""How long each replica's metrics take to reach Kafka, so that pins come at all three times."""


@dataclass(frozen=True, slots=True)
class Collected:
    """A replica's metrics are read, for its `number`-th export."""

    at_s: float
    instance: str
    number: int


@dataclass(frozen=True, slots=True)
class Exported:
    """What was read then reaches Kafka."""

    at_s: float
    instance: str
    number: int


Moment = Checkout | Record | Collected | Exported
"""A checkout ends (and is measured), a record of spans is sent, metrics are read, and exported."""


def timeline(checkouts: Iterable[Checkout], *, exports: bool) -> Iterator[Moment]:
    """Return all moments by their `at_s`; checkouts end before their spans are sent."""
    made = list(checkouts)
    moments: list[Moment] = [*made, *(record for each in made for record in each.records)]
    if exports:
        moments += _exports(made[-1].at_s)
    return iter(sorted(moments, key=attrgetter("at_s")))


def _exports(last_s: float) -> Iterator[Moment]:
    count = int(last_s // EXPORT_EVERY_S) + 1
    assert len(PIPELINE_DELAYS_S) == INSTANCES
    for number in range(1, count + 1):
        # The last one is what a process exports when it ends.
        collected_s = min(number * EXPORT_EVERY_S, last_s)
        for instance, delay_s in enumerate(PIPELINE_DELAYS_S):
            yield Collected(collected_s, str(instance), number)
            yield Exported(collected_s + delay_s, str(instance), number)
