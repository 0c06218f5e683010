"""A command that runs beside the workers (`export`, ...), as an operator runs it."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.harness.children import Child
from tests.harness.pages import Pages
from tests.harness.ports import free_ports
from tests.harness.topics import Topics

COMMAND = Path(sys.executable).with_name("tailstream")
END_TIMEOUT_S = 60.0


class BesideProcess:
    """The command on the topics of a test; it runs from now on. `more` are its other settings."""

    def __init__(
        self, command: str, topics: Topics, directory: Path, more: Mapping[str, str]
    ) -> None:
        assert COMMAND.exists(), f"{COMMAND} is not there: make install"
        self.pages = Pages(free_ports(1)[0])
        settings = {
            "kafka.bootstrap.servers": topics.bootstrap,
            "worker.group": topics.group,
            "worker.instance_id": f"{command}-0",
            "worker.session_timeout": "6s",
            "topics.input": topics.input,
            "topics.output": topics.output,
            "topics.dead_letters": topics.dead_letters,
            "topics.metrics": topics.metrics,
            "web.port": str(self.pages.port),
            **more,
        }
        options = [word for each in settings.items() for word in ("--set", "=".join(each))]
        log = directory / f"{command}.log"
        self._child = Child([str(COMMAND), command, *options], log=log, env={**os.environ})

    @property
    def address(self) -> str:
        """Where its pages are."""
        return f"127.0.0.1:{self.pages.port}"

    def returncode(self) -> int | None:
        return self._child.returncode()

    def log_tail(self, lines: int = 30) -> str:
        return self._child.log_tail(lines)

    def close(self) -> None:
        """Leave nothing behind."""
        if self._child.returncode() is None:
            self._child.end(signal.SIGKILL, timeout_s=END_TIMEOUT_S)
