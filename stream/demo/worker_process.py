"""A worker as an operator runs it: a process of its own, with its settings in a file."""

import atexit
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

STOP_TIMEOUT_S = 15.0
LOG_LINES = 15


class WorkerFailedError(Exception):
    """It ended by itself; the text holds the last lines of its log."""


class WorkerProcess:
    """Runs `tailstream COMMAND` on `settings` while the context lasts; ends it with SIGTERM.

    It is in a process group of its own, so that a Ctrl-C is ours alone to pass on. It is ended also
    where we are not asked: at exit, and on Linux when this process is killed (`worker_child`).
    """

    def __init__(
        self,
        settings: dict[str, Any],
        directory: Path,
        *,
        check_topics: bool = True,
        command: str = "worker",
    ) -> None:
        self._name = command
        config = directory / f"{command}.yaml"
        config.write_text(yaml.safe_dump(settings, sort_keys=False))
        ours = [sys.executable, "-m", "stream.demo.worker_child", str(os.getpid())]
        self._command = [*ours, command, "--config", str(config)]
        if not check_topics:
            self._command.append("--without-topic-check")
        self._log = directory / f"{command}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def check(self) -> None:
        """Raise WorkerFailedError if it has ended."""
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            last = "\n".join(self._log.read_text().splitlines()[-LOG_LINES:])
            raise WorkerFailedError(f"the {self._name} ended with exit code {code}:\n{last}")

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        atexit.register(self._process.kill)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Also where a second Ctrl-C says that it takes too long.
            self._process.kill()
            self._process.wait()
            atexit.unregister(self._process.kill)
