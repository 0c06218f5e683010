"""What strikes, whom, and when: all of it from the seed, nothing from the run."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

SLOTS = ("w0", "w1")
THIRD = "w2"
GROWTHS_MAX = 2
HASTY_SHARE = 0.25


class Kind(StrEnum):
    """Kinds of faults."""

    KILL = "kill -9"
    TERM = "SIGTERM"
    ZOMBIE = "SIGSTOP past the session"
    JOIN = "third worker joins"
    LEAVE = "third worker leaves"
    BROKER = "broker kill -9"
    QUOTA = "slow produce quota"
    GROW = "partitions added"
    DAMAGE = "database damaged"
    HINTS = "commit metadata dropped"


class Membership(StrEnum):
    """How the workers belong to the group; chosen anew whenever all of them are down."""

    DYNAMIC = "classic, dynamic"
    STATIC = "classic, static"
    MIXED = "classic, dynamic and static"
    KIP_848 = "KIP-848"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. Times in seconds.

    `pause_s`: from the end of the last one's cause. `hasty`: it does not wait until the workers
    have recovered from the last one. `lasts_s`: how long its cause stays. `share`: how strong it
    is, from 0 to 1, in its kind's own measure. `slots`: the workers it strikes. `seed`: for what
    is drawn while it strikes.
    """

    number: int
    kind: Kind
    slots: tuple[str, ...]
    pause_s: float
    hasty: bool
    lasts_s: float
    share: float
    membership: Membership
    seed: int

    def __str__(self) -> str:
        told = f"#{self.number} {self.kind}: {', '.join(self.slots) or 'the broker'}"
        if self.kind in LASTS_S:
            told += f", for {self.lasts_s:.1f} s"
        if self.kind is Kind.HINTS:
            told += f", then {self.membership}"
        return told + (", before the last one was recovered from" if self.hasty else "")


# How long the cause stays: past a session of 6 s, short of and past a transaction's 10 s.
LASTS_S = {
    Kind.ZOMBIE: (7.0, 13.0),
    Kind.BROKER: (0.0, 6.0),
    Kind.QUOTA: (3.0, 9.0),
}
# What strikes often in the field strikes often here; a topic grows once in its life or twice.
WEIGHTS = {
    Kind.KILL: 5,
    Kind.TERM: 3,
    Kind.ZOMBIE: 3,
    Kind.JOIN: 4,
    Kind.BROKER: 4,
    Kind.QUOTA: 2,
    Kind.GROW: 1,
    Kind.DAMAGE: 2,
    Kind.HINTS: 2,
}


class Schedule:
    """An endless series of faults; the first `first_round` of them have each kind once.

    `only` of these kinds, to hunt with; the workers and what is sent are the seed's all the same.
    """

    def __init__(self, seed: int, only: Collection[Kind] = ()) -> None:
        self._rng = Random(f"schedule {seed}")
        self._kinds = [kind for kind in Kind if kind in (only or Kind)]
        self.first_round = len(self._kinds)
        self._third = False
        self._growths = 0
        self.membership = self._rng.choice(list(Membership))

    def __iter__(self) -> Iterator[Fault]:
        kinds = list(self._kinds)
        self._rng.shuffle(kinds)
        for number, kind in enumerate(kinds, start=1):
            # Who has not joined cannot leave: the two change places.
            swap = {Kind.JOIN: Kind.LEAVE, Kind.LEAVE: Kind.JOIN}
            early = [kind for kind in kinds if kind in swap][:1] == [Kind.LEAVE]
            yield self._fault(number, swap.get(kind, kind) if early else kind)
        while True:
            number += 1
            yield self._fault(number, self._next_kind())

    def _next_kind(self) -> Kind:
        kinds = [kind for kind in WEIGHTS if kind in self._kinds]
        (kind,) = self._rng.choices(kinds, [WEIGHTS[kind] for kind in kinds])
        if kind is Kind.JOIN and self._third:
            return Kind.LEAVE
        if kind is Kind.GROW and self._growths >= GROWTHS_MAX:
            return Kind.KILL
        return kind

    def _fault(self, number: int, kind: Kind) -> Fault:
        rng = self._rng
        fault = Fault(
            number=number,
            kind=kind,
            slots=self._slots(kind),
            pause_s=rng.uniform(0.3, 4.0),
            hasty=number > 1 and rng.random() < HASTY_SHARE,
            lasts_s=rng.uniform(*LASTS_S.get(kind, (0.0, 0.0))),
            share=rng.random(),
            membership=rng.choice(list(Membership)),
            seed=rng.getrandbits(32),
        )
        self._third = {Kind.JOIN: True, Kind.LEAVE: False}.get(kind, self._third)
        self._growths += kind is Kind.GROW
        return fault

    def _slots(self, kind: Kind) -> tuple[str, ...]:
        rng = self._rng
        there = (*SLOTS, THIRD) if self._third else SLOTS
        if kind in (Kind.JOIN, Kind.LEAVE):
            return (THIRD,)
        if kind in (Kind.BROKER, Kind.GROW):
            return ()
        if kind in (Kind.QUOTA, Kind.HINTS):
            return there
        # Now and then two at once, or all.
        count = rng.choices((1, 2, len(there)), (8, 2, 1))[0]
        return tuple(sorted(rng.sample(there, count)))
