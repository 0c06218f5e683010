"""Progress on a terminal, with the columns for which it is wide enough: no number is ever cut."""

from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn

BAR_CELLS_MIN, BAR_CELLS_MAX = 7, 40
CLOCK_CELLS = len("0:00:00")
WORD = "traces"


class TracesProgress(Progress):
    """Bars that count traces; `told`, a field of each task, is a few words on how it goes.

    Where the terminal is narrow the word "traces" is left out first, then `clock`, then the bar,
    then what is told.
    """

    def __init__(self, console: Console, *, clock: ProgressColumn, disable: bool = False) -> None:
        self._terminal = console
        self._clock = clock
        super().__init__(console=console, transient=True, disable=disable)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Choose the columns for the terminal's width as it is now."""
        self.columns = tuple(self._fitting(self._terminal.width))
        return super().get_renderables()

    def _fitting(self, width: int) -> list[ProgressColumn]:
        tasks = self.tasks
        total_cells = max((len(f"{task.total:,}") for task in tasks), default=0)
        described = max((cell_len(task.description) for task in tasks), default=0)
        told_cells = max((cell_len(str(task.fields["told"])) for task in tasks), default=0)
        # Each column has a space to its right.
        room = width - described - (2 * total_cells + 1) - 2
        told: list[ProgressColumn] = []
        clock: list[ProgressColumn] = []
        bar: list[ProgressColumn] = []
        word: list[ProgressColumn] = []
        if 0 < told_cells < room:
            told.append(TextColumn("{task.fields[told]}"))
            room -= told_cells + 1
        has_bar = room > BAR_CELLS_MIN
        room -= (BAR_CELLS_MIN + 1) * has_bar
        if room > CLOCK_CELLS:
            clock.append(self._clock)
            room -= CLOCK_CELLS + 1
        if has_bar:
            wider = min(BAR_CELLS_MAX - BAR_CELLS_MIN, room)
            bar.append(BarColumn(bar_width=BAR_CELLS_MIN + wider))
            room -= wider
        if room > len(WORD):
            word.append(TextColumn(WORD))
        name = TextColumn("{task.description}", style="bold")
        counts = TextColumn("{task.completed:,}/{task.total:,}", justify="right")
        return [name, *bar, counts, *word, *told, *clock]
