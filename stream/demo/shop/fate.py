"""What becomes of a checkout, decided by its number: the same run gives the same errors."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Fate(StrEnum):
    """How a checkout goes."""

    PAID = "paid"
    SLOW = "slow"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Fates:
    """The shares of checkouts, 0 to 1, that are slow or end in an error; `seed` says which.

    The payment provider takes `fast_s` seconds for an ordinary one, `slow_s` for a slow one.
    """

    seed: int = 1
    slow_share: float = 0.05
    refused_share: float = 0.05
    fast_s: float = 0.01
    slow_s: float = 2.0

    def of(self, number: int) -> Fate:
        """Return what becomes of the checkout with this number."""
        drawn = Random(f"{self.seed}:{number}").random()  # noqa: S311 - a demo's, repeatable
        if drawn < self.refused_share:
            return Fate.REFUSED
        return Fate.SLOW if drawn < self.refused_share + self.slow_share else Fate.PAID

    def takes_s(self, fate: Fate) -> float:
        """Return how long the payment provider takes for it, in seconds."""
        return self.slow_s if fate is Fate.SLOW else self.fast_s
