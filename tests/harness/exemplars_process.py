"""`tailstream exemplars` as a process of its own, as an operator runs it."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.harness.children import Child
from tests.harness.ports import free_ports
from tests.harness.topics import GroupOffsets, Topics

COMMAND = Path(sys.executable).with_name("tailstream")
END_TIMEOUT_S = 60.0


class ExemplarsProcess:
    """One slot: it can be started again after its end, under the same instance id."""

    def __init__(
        self, topics: Topics, directory: Path, *, more: Mapping[str, str] | None = None
    ) -> None:
        self._port = free_ports(1)[0]
        self._log = directory / "exemplars.log"
        self._group = f"{topics.group}-exemplars"
        self._bootstrap = topics.bootstrap
        self._metrics_topic = topics.metrics
        self._settings = {
            "kafka.bootstrap.servers": topics.bootstrap,
            "worker.group": topics.group,
            "worker.instance_id": "exemplars-0",
            "worker.session_timeout": "6s",
            "topics.input": topics.input,
            "topics.metrics": topics.metrics,
            "web.port": str(self._port),
            "log.format": "json",
            **(more or {}),
        }
        self._child: Child | None = None

    @property
    def runs(self) -> bool:
        return self._child is not None

    def start(self) -> None:
        """Start it; it need not have joined its group yet."""
        assert self._child is None, "it runs"
        assert COMMAND.exists(), f"{COMMAND} is not there: make install"
        options = [word for each in self._settings.items() for word in ("--set", "=".join(each))]
        command = [str(COMMAND), "exemplars", *options]
        self._child = Child(command, log=self._log, env={**os.environ, "PYTHONFAULTHANDLER": "1"})

    def assert_runs(self) -> None:
        assert self._child is not None, "it was not started"
        code = self._child.returncode()
        assert code is None, f"tailstream exemplars ended by itself with {code}:\n{self.log_tail()}"

    def committed(self) -> dict[int, int]:
        """Return its group's offset of each partition of the metrics that has one."""
        return GroupOffsets(self._bootstrap, self._group, self._metrics_topic).committed()

    def kill(self) -> None:
        """SIGKILL; it must have been alive until now."""
        code = self._end(signal.SIGKILL)
        assert code == -signal.SIGKILL, f"it had ended with {code}:\n{self.log_tail()}"

    def terminate(self) -> None:
        """SIGTERM: it must end by itself, with exit code 0."""
        code = self._end(signal.SIGTERM)
        assert code == 0, f"tailstream exemplars ended with {code}:\n{self.log_tail()}"

    def close(self) -> None:
        """Leave nothing behind."""
        if self._child is not None:
            self._end(signal.SIGKILL)

    def log_tail(self, lines: int = 30) -> str:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _end(self, sig: signal.Signals) -> int:
        assert self._child is not None, "it does not run"
        child, self._child = self._child, None
        return child.end(sig, timeout_s=END_TIMEOUT_S)
