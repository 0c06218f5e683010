"""The group's coordinator: who owns what. What it tells a member waits until the member looks."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from stream.testing.driver import Driver
from stream.testing.log import Group, Membership
from tests.simulation.disks import Disk


@dataclass(slots=True, eq=False)
class Process:
    """One worker process. `member` is its id in the group; `notices` it has not been told yet."""

    slot: int
    driver: Driver
    disk: Disk
    member: str = ""
    paused: bool = False
    leaving: bool = False
    expelled: bool = False
    callback: Iterator[None] | None = None
    notices: deque[tuple[str, Membership | None, list[int]]] = field(default_factory=deque)

    def close(self) -> None:
        """It is gone, and what it had in memory."""
        self.driver.close()
        self.disk.close()

    @property
    def joined(self) -> bool:
        """Whether the group counts on it."""
        return not (self.leaving or self.expelled)


class Coordinator:
    """Cooperative rebalances: revoke what moves, and assign when all have let go.

    A `static` member that is started again within its session takes its predecessor's place.
    """

    def __init__(self, group: Group, *, partitions: int, static: bool) -> None:
        self.owners: dict[int, str] = {}
        self.wanted: tuple[int, ...] = ()
        self.awaited: set[str] = set()
        self.partitions = partitions
        self._group = group
        self._static = static
        self._members = 0
        self._due = False
        self._chosen: dict[int, str | None] = {}

    def rebalance(self, owners: tuple[int, ...] = ()) -> None:
        """Rebalance soon; `owners` are the slots that should have the partitions."""
        self.wanted = owners
        self._due = True

    def join(self, process: Process) -> None:
        """Let a process in: under the place of its slot's last one where that is static."""
        self._members += 1
        process.member = f"{process.slot}/{self._members}"
        replaced = self._static and self._replaced(process)
        if not replaced or len(self.owners) < self.partitions:
            self._due = True

    def leave(self, process: Process) -> None:
        """A clean stop; a static member's place is kept for it."""
        if not self._static:
            self.expel(process.member)

    def expel(self, member: str) -> None:
        """A member is gone: what it had is free."""
        self._group.members.discard(member)
        self.owners = {n: owner for n, owner in self.owners.items() if owner != member}
        self.awaited.discard(member)
        self._due = True

    @property
    def known(self) -> set[str]:
        """Every member that the group believes in."""
        return self._group.members | set(self.owners.values())

    def move(self, processes: list[Process]) -> None:
        """Move the rebalance under way further."""
        if self.awaited or not self._due:
            return
        joined = {p.member: p for p in processes if p.joined}
        ghosts = set(self.owners.values()) - joined.keys()
        target = self._target(sorted(joined), ghosts)
        moved = {n for n, owner in self.owners.items() if owner in joined and target[n] != owner}
        if moved:
            for member in sorted({self.owners[number] for number in moved}):
                numbers = sorted(n for n in moved if self.owners[n] == member)
                joined[member].notices.append(("revoked", None, numbers))
                self.awaited.add(member)
            self.owners = {n: owner for n, owner in self.owners.items() if n not in moved}
            self._chosen = target
            return
        self._assign(joined, ghosts, target)

    def _assign(
        self, joined: dict[str, Process], ghosts: set[str], target: dict[int, str | None]
    ) -> None:
        self._due = False
        self._chosen = {}
        self.wanted = ()
        self._group.generation += 1
        self._group.members = {*joined, *ghosts}
        for member, process in joined.items():
            added = sorted(n for n, to in target.items() if to == member and n not in self.owners)
            membership = Membership(member, self._group.generation)
            process.notices.append(("assigned", membership, added))
        self.owners |= {n: owner for n, owner in target.items() if owner is not None}

    def _target(self, members: list[str], ghosts: set[str]) -> dict[int, str | None]:
        """Choose an owner for each partition; what a dead member holds stays with it."""
        target: dict[int, str | None] = {}
        generation = self._group.generation
        for number in range(self.partitions):
            owner = self.owners.get(number)
            chosen = self._chosen.get(number) or self._member_wanted(members, number)
            if owner in ghosts:
                target[number] = owner
            elif chosen in members:
                target[number] = chosen
            elif owner in members and (3 * number + 2 * generation) % 5 < 3:
                target[number] = owner
            else:
                target[number] = members[(number + generation) % len(members)] if members else None
        return target

    def _member_wanted(self, members: list[str], number: int) -> str | None:
        if number >= len(self.wanted):
            return None
        of_slot = [one for one in members if one.startswith(f"{self.wanted[number]}/")]
        return of_slot[-1] if of_slot else None

    def _replaced(self, process: Process) -> bool:
        """Give a process the place of its slot's last member: same generation, new member id."""
        before = [m for m in sorted(self._group.members) if m.startswith(f"{process.slot}/")]
        if len(before) != 1 or self._due or self.awaited:
            return False
        (old,) = before
        self._group.members = {process.member if m == old else m for m in self._group.members}
        numbers = sorted(n for n, owner in self.owners.items() if owner == old)
        self.owners |= dict.fromkeys(numbers, process.member)
        membership = Membership(process.member, self._group.generation)
        process.notices.append(("assigned", membership, numbers))
        return True
