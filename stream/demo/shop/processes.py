"""A service of the shop in a process of its own."""

import atexit
import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Self

from stream.demo.shop.service import Setup

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
LOG_LINES = 15


class ServiceFailedError(Exception):
    """A service did not start, or ended by itself; the text holds the last lines of its log."""


class ServiceProcess:
    """Runs a service while the context lasts; `stop` ends it in order, the context's end at once.

    It is in a process group of its own, so that a Ctrl-C is ours alone to pass on.
    """

    def __init__(self, setup: Setup, directory: Path) -> None:
        self.setup = setup
        ours = [sys.executable, "-m", "stream.demo.shop", str(os.getpid())]
        self._command = [*ours, setup.to_json()]
        self._log = directory / f"{setup.service}.log"
        self._process: subprocess.Popen[str] | None = None

    def wait_until_ready(self) -> None:
        """Wait for its first line: it listens, or has subscribed.

        Raises:
            ServiceFailedError: it has ended, or says nothing.
        """
        process = self._started()
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], READY_TIMEOUT_S)
        if not readable or not process.stdout.readline():
            raise self._failed("did not start")

    def check(self) -> None:
        """Raise ServiceFailedError if it has ended."""
        if self._started().poll() is not None:
            raise self._failed("ended by itself")

    def stop(self) -> dict[str, int]:
        """End it as an operator would, and return its spans' account: exported, dropped.

        Raises:
            ServiceFailedError: it did not end well.
        """
        process = self._started()
        process.terminate()
        try:
            said, _ = process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise self._failed("did not end") from None
        if process.returncode != 0:
            raise self._failed("failed")
        account: dict[str, int] = json.loads(said.splitlines()[-1])
        return account

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,
            )
        atexit.register(self._process.kill)
        return self

    def __exit__(self, *_: object) -> None:
        process = self._started()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        atexit.unregister(process.kill)

    def _started(self) -> subprocess.Popen[str]:
        assert self._process is not None, "it runs while the context lasts"
        return self._process

    def _failed(self, how: str) -> ServiceFailedError:
        code = self._started().poll()
        last = "\n".join(self._log.read_text().splitlines()[-LOG_LINES:])
        return ServiceFailedError(f"the service {self.setup.service} {how} (exit {code}):\n{last}")
