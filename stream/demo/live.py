"""The demo while it runs: bars on a terminal, a plain line now and then anywhere else."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import TimeElapsedColumn

from stream.demo.account import Account
from stream.demo.progress import TracesProgress
from stream.demo.truth import Truth

PLAIN_LINES = 10
"""So many lines tell of the whole run where there is no terminal."""


class Live:
    """Shows how far a run of `traces` traces is; `show` is called as often as one likes."""

    def __init__(self, console: Console, *, traces: int) -> None:
        self._console = console
        self._traces = traces
        self._told = ""
        self._progress: TracesProgress | None = None
        if console.is_terminal:
            self._progress = TracesProgress(console, clock=TimeElapsedColumn())
            self._sent = self._progress.add_task("  sent", total=traces, told="")
            self._decided = self._progress.add_task("  decided", total=traces, told="")

    def show(self, phase: str, truth: Truth, account: Account) -> None:
        """Show where the run is; `phase` is a few words on what it waits for."""
        decided = account.kept_traces + account.dropped_traces
        found = (
            f"kept {account.kept_traces:,}  dropped {account.dropped_traces:,}  "
            f"late {account.late_spans:,}  dead letters {account.dead_letters.total():,}"
        )
        if self._progress is not None:
            self._progress.update(self._sent, completed=truth.traces, told=phase)
            self._progress.update(self._decided, completed=decided, told=found)
            return
        step = decided * PLAIN_LINES // max(1, self._traces)
        told = f"{phase} {step}"
        if told != self._told:
            self._told = told
            self._console.print(
                f"  {phase}: sent {truth.traces:,} of {self._traces:,} traces, {found}",
                soft_wrap=True,
                highlight=False,
            )

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
