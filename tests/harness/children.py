"""Child processes that never outlive the test run, however it ends."""

import atexit
import contextlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Told by a line when a child starts (+pid) and when it has ended (-pid). The end of its input means
# that the test run is gone, by whatever way: what still runs then is killed.
_REAPER = """
import os, signal, sys
alive = set()
for line in sys.stdin:
    (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
for pid in alive:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class Child:
    """A process in a session of its own (Ctrl-C reaches the test run, which then ends it)."""

    def __init__(
        self, args: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                args,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        _Reaper.instance().tell("+", self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def returncode(self) -> int | None:
        """Return the exit code, negative for a signal, None while it runs."""
        code = self._process.poll()
        if code is not None:
            _Reaper.instance().tell("-", self._process.pid)
        return code

    def end(self, sig: signal.Signals, *, timeout_s: float) -> int:
        """Send the signal, wait for the end, return the exit code; TimeoutExpired if it stays."""
        if self.returncode() is None:
            self._process.send_signal(sig)
        return self.wait(timeout_s=timeout_s)

    def wait(self, *, timeout_s: float) -> int:
        code = self._process.wait(timeout_s)
        _Reaper.instance().tell("-", self._process.pid)
        return code

    def log_tail(self, lines: int = 40) -> str:
        text = self.log.read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


class _Reaper:
    """The process that kills what is left when the test run's end of the pipe closes."""

    _instance: "_Reaper | None" = None

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _REAPER],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._known: set[int] = set()
        atexit.register(self.close)

    @classmethod
    def instance(cls) -> "_Reaper":
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def tell(self, sign: str, pid: int) -> None:
        if (pid in self._known) == (sign == "+"):
            return
        self._known ^= {pid}
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(f"{sign}{pid}\n")
        stdin.flush()

    def close(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.close()
        self._process.wait(10)
