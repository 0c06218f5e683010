"""The accounting law of one partition, in spans."""

from collections import Counter
from dataclasses import dataclass, field

from stream.sampling.decision import PROMOTIONS, Verdict
from stream.sampling.delivery import Delivery, Settled


@dataclass(slots=True)
class Accounts:
    """Where each span received by a partition went.

    The law: received = sampled + not_sampled + late_sampled + late_not_sampled + duplicate
    + dead_lettered + open + released. Outcomes are counted when their transaction has committed,
    so `open` (kept by the sampler) holds the undecided and the undelivered. `replayed` spans were
    read again and are covered by a committed decision: they are outside the sum. So are `promoted`
    ones: they were not_sampled before. `promotions` counts these traces by how they ended.
    `votes` counts (policy, vote); `limits` the limits reached; `records` records by kind.
    """

    received: int = 0
    sampled: int = 0
    not_sampled: int = 0
    late_sampled: int = 0
    late_not_sampled: int = 0
    duplicate: int = 0
    dead_lettered: int = 0
    released: int = 0
    replayed: int = 0
    promoted: int = 0
    promotions: Counter[str] = field(default_factory=Counter)
    votes: Counter[tuple[str, str]] = field(default_factory=Counter)
    limits: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)

    @property
    def accounted(self) -> int:
        """Every span that has left, by whatever name."""
        return (
            self.sampled
            + self.not_sampled
            + self.late_sampled
            + self.late_not_sampled
            + self.duplicate
            + self.dead_lettered
            + self.released
        )

    def count(self, delivered: Delivery, settled: Settled) -> None:
        """Name where a delivery's spans went; its transaction has committed."""
        decision = delivered.decision
        if decision.trigger in PROMOTIONS:
            gone = settled.duplicates + settled.dead_lettered
            self.promoted += decision.spans - gone
            self.promotions[decision.trigger if decision.spans else "not_found"] += 1
            return
        self.duplicate += settled.duplicates
        self.dead_lettered += settled.dead_lettered
        spans = decision.spans - settled.duplicates - settled.dead_lettered
        if decision.verdict is Verdict.SAMPLED:
            if delivered.late:
                self.late_sampled += spans
            else:
                self.sampled += spans
        elif delivered.late:
            self.late_not_sampled += spans
        else:
            self.not_sampled += spans
