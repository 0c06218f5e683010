"""What `tailstream tail` says while it shows nothing: what it waits for, and what came instead."""

from collections.abc import Iterator
from dataclasses import dataclass, field

FIRST_S = 10.0
EVERY_S = 60.0


@dataclass(slots=True)
class Waiting:
    """Counts what comes, and says now and then what is missing. `began_s`: monotonic seconds.

    `policies` are the names asked for, none where all are shown.
    """

    policies: tuple[str, ...]
    began_s: float
    _seen: set[str] = field(default_factory=set)
    _came: int = 0
    _shown: int = 0
    _told_s: float | None = None
    _told: set[str] = field(default_factory=set)

    def came(self, policy: str, *, shown: bool) -> None:
        """Take note of a kept trace, and whether it passed the filters."""
        self._seen.add(policy)
        self._came += 1
        self._shown += shown

    def lines(self, now_s: float) -> Iterator[str]:
        """Yield what is to be said now: after a while, and then seldom."""
        due_s = self.began_s + FIRST_S if self._told_s is None else self._told_s + EVERY_S
        if now_s < due_s:
            return
        seconds = now_s - (self.began_s if self._told_s is None else self._told_s)
        self._told_s = now_s
        if not self._came:
            yield (
                f"no kept trace came for {seconds:.0f} s: is a worker running, and is this its "
                "topics.output?"
            )
        elif not self._shown:
            yield f"{self._came:,} kept traces came in {seconds:.0f} s, none passed the filters"
        yield from self._missing()
        self._came = self._shown = 0

    def _missing(self) -> Iterator[str]:
        """Say once of each policy that it is not among those that came."""
        for name in self.policies:
            if self._seen and name not in self._seen | self._told:
                self._told.add(name)
                seen = ", ".join(sorted(self._seen))
                yield f"no kept trace had policy {name!r}; the policies that came: {seen}"


def not_in_settings(asked: tuple[str, ...], configured: list[str]) -> Iterator[str]:
    """Yield a warning for each policy asked for that the settings at hand do not have."""
    for name in asked:
        if name not in configured:
            known = ", ".join(configured)
            yield f"policy {name!r} is not in these settings, which have {known}"
