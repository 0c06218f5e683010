"""How wide the columns of a drawn trace are, so that a row fits a terminal."""

from dataclasses import dataclass
from typing import Final

BRANCH_CELLS: Final = 3
NAME_CELLS_MIN: Final = 12
NAME_CELLS_LEFT: Final = 8
"""What branches leave of a name's column."""
NAME_CELLS_MAX: Final = 60
DURATION_CELLS: Final = 10
KIND_CELLS: Final = 9
# The least width, in cells, from which a column is worth its room.
_KIND_FROM, _TIMES_FROM, _BAR_FROM, _SERVICE_FROM = 110, 90, 72, 48
_NOTE_CELLS: Final = 6


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns, in cells. `service` 0: none.

    `times`: a span's self time, and its part of the critical path. `width`: of the terminal, None
    where lines may be as long as they are.
    """

    name: int = 32
    service: int = 24
    kind: bool = False
    bar: int = 20
    times: bool = False
    width: int | None = None

    @property
    def levels(self) -> int:
        """How many levels below the top are drawn with branches; deeper ones have a number."""
        return max(1, (self.name - NAME_CELLS_LEFT) // BRANCH_CELLS)


def layout_for(width: int | None, *, full: bool) -> Layout:
    """Return the columns for a terminal of `width` cells, None for a file or a pipe.

    `full` asks for a span's kind and times as well, as far as there is room.
    """
    if width is None:
        return Layout(name=40, kind=True, times=True) if full else Layout()
    kind, times = full and width >= _KIND_FROM, full and width >= _TIMES_FROM
    service = 0 if width < _SERVICE_FROM else min(24, width // 5)
    bar = 20 if width >= _BAR_FROM else 10
    taken = service + 2 + bar + DURATION_CELLS * (3 if times else 1) + KIND_CELLS * kind
    name = min(NAME_CELLS_MAX if full else 32, width - taken - _NOTE_CELLS)
    return Layout(max(NAME_CELLS_MIN, name), service, kind, bar, times, width)
