"""What the commands beside the workers (`export`, `rekey`, `exemplars`) measure alike."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from stream.kafka.group_reader import Behind
from stream.metrics import UNHEARD_S, Metrics

MS_PER_S: Final = 1_000


class Totals:
    """Counters that follow what is counted elsewhere. A total never falls."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told: Counter[tuple[str, ...]] = Counter()

    def tell(self, name: str, total: int) -> None:
        """Let the counter of this name, which has no labels, show a total."""
        self._metrics[name].inc(self._grown(total, name))

    def tell_each(self, name: str, totals: Mapping[str, int]) -> None:
        """Let the counter of this name show totals, by the value of its one label.

        Those that are 0 are there, too: so that the first one is a rise.
        """
        for value, total in totals.items():
            self._metrics[name].labels(value).inc(self._grown(total, name, value))

    def _grown(self, total: int, *place: str) -> int:
        grown = total - self._told[place]
        self._told[place] = total
        return grown


class GroupLag:
    """The gauges of the partitions that the group has given to us; those of others vanish."""

    def __init__(self, records: Any, seconds: Any) -> None:
        self._gauges = (records, seconds)
        self._ours: set[int] = set()

    def measure(self, behind: Mapping[int, Behind], now_ms: int) -> None:
        """Set the gauges. Who is cut off from the broker is behind by as long, at worst."""
        records, seconds = self._gauges
        for number, lag in behind.items():
            since_ms = now_ms if lag.since_ms is None or not lag.records else lag.since_ms
            records.labels(str(number)).set(lag.records)
            in_doubt_s = lag.unheard_s if lag.unheard_s > UNHEARD_S else 0
            behind_s = max(0, now_ms - since_ms) / MS_PER_S
            seconds.labels(str(number)).set(max(in_doubt_s, behind_s))
        for number in self._ours - behind.keys():
            for gauge in self._gauges:
                gauge.remove(str(number))
        self._ours = set(behind)
