"""The laws of rounds of promotions: none waits for a long one to end, and none waits for ever."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stream.kafka.sweep import Want
from stream.testing.promoter import Promoter

ROOM_BYTES = 1 << 20


@dataclass(slots=True)
class _Round:
    """Who waits longest, from where on it is read, and the shortest that fit into a turn."""

    oldest: Want
    next: int
    fitting: list[Want]


class Turns:
    """Watches the rounds of all workers; `broken` says which law is."""

    def __init__(self, broken: Callable[[str, str], None]) -> None:
        self._broken = broken
        self._rounds: dict[Promoter, _Round] = {}

    @contextmanager
    def reading(self, promoter: Promoter) -> Iterator[None]:
        """A round begins, goes on or ends."""
        before = promoter.turn
        yield
        if before is None and promoter.turn is not None:
            turn = promoter.turn
            oldest, *_ = wants = list(promoter.rereading)
            least = min(want.cost for want in wants).bit_length()
            short = [want for want in wants if want.cost.bit_length() == least]
            fitting = [want for want in short if want.cost <= turn.records]
            # Room for one body ends a turn, too.
            roomy = turn.bodies_bytes >= ROOM_BYTES
            self._rounds[promoter] = _Round(oldest, oldest.next, fitting if roomy else [])
        elif before is not None and promoter.turn is None and promoter in self._rounds:
            self._ended(self._rounds.pop(promoter), set(promoter.rereading))

    def failed(self, promoter: Promoter) -> None:
        """Nothing is promised of this round any more."""
        self._rounds.pop(promoter, None)

    def _ended(self, begun: _Round, left: set[Want]) -> None:
        if begun.fitting and left.issuperset(begun.fitting):
            self._broken(
                "turns", f"{len(begun.fitting)} short promotions fit in a turn, and none is read"
            )
        if begun.oldest in left and begun.oldest.next <= begun.next:
            self._broken("turns", f"who waits longest is not read: {begun.oldest.wanted}")
