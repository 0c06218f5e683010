"""Whether the group has said what is ours: the first answer to a new member is often "nothing yet".

In a cooperative rebalance the others give partitions up only after a newcomer was told of none. A
probe that takes that moment for ready lets a rollout go on to the next worker too early.
"""

from typing import Final

EMPTY_BELIEVED_AFTER_S: Final = 10.0


class Ownership:
    """What the group has assigned so far. Times by the monotonic clock."""

    def __init__(self) -> None:
        self._answered_s: float | None = None
        self._had_some = False

    def assigned(self, count: int, now_s: float) -> None:
        """The group has answered: `count` partitions more are ours."""
        if self._answered_s is None:
            self._answered_s = now_s
        self._had_some = self._had_some or count > 0

    def lost(self, left: int) -> None:
        """Partitions went to others, and `left` are ours: with none, we are out of the group."""
        if not left:
            self._answered_s, self._had_some = None, False

    def settled(self, now_s: float) -> bool:
        """Return whether the group has given us partitions, or has meant it that there are none."""
        if self._answered_s is None:
            return False
        return self._had_some or now_s >= self._answered_s + EMPTY_BELIEVED_AFTER_S
