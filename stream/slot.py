"""Two workers with one instance id would fence each other in turns: the one that lost waits.

A fence soon after the start is the sign of it; one after a long pause or a lost network is not. The
note of it lies in the storage directory, so that a supervisor's next start finds it.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from stream import clock, logs

SOON_S = 60.0
WAIT_S = 30.0

log = logs.logger("tailstream")


class Slot:
    """The place of one `worker.instance_id` of a group, as far as the storage directory tells.

    `started_s` is the monotonic time at which the process started, now unless it is given.
    """

    def __init__(
        self, directory: Path, group: str, instance_id: str, *, started_s: float | None = None
    ) -> None:
        self._note = directory / "fenced"
        self._group = group
        self._instance_id = instance_id
        self._started_s = clock.monotonic_s() if started_s is None else started_s

    def __str__(self) -> str:
        return f"worker.instance_id {self._instance_id!r} of worker.group {self._group!r}"

    def wait(
        self,
        sleep: Callable[[float], None] = time.sleep,
        *,
        pages: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """Let the other worker of the slot work, if one fenced our last start soon.

        `pages` answers meanwhile, with why we wait.
        """
        if not self._note.exists():
            return
        age_s = clock.now_s() - self._note.stat().st_mtime
        fenced = self._note.read_bytes()
        self._note.unlink()
        # A worker that was given a slot of its own since has nobody to wait for.
        if age_s >= SOON_S or fenced != self._instance_id.encode():
            return
        why = (
            f"the last start was fenced within {SOON_S:g} s: this one waits {WAIT_S:g} s for "
            f"another worker with {self}"
        )
        remedy = "give every worker its own worker.instance_id; if this one's is, nothing is to do"
        log.error(why, waiting_s=WAIT_S, remedy=remedy)
        with pages(why):
            sleep(WAIT_S)

    def fenced(self) -> None:
        """Note a fence, if it came soon after the start.

        A disk that is full costs the note alone: the process has to end with its own exit code.
        """
        if clock.monotonic_s() - self._started_s >= SOON_S:
            return
        try:
            self._note.parent.mkdir(parents=True, exist_ok=True)
            self._note.write_bytes(self._instance_id.encode())
        except OSError as problem:
            log.warning("the fence cannot be noted", reason=str(problem))
