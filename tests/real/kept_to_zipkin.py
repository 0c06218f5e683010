"""A real Collector that brings kept traces to the topic that Zipkin reads, as Zipkin's JSON."""

import os
import signal
from pathlib import Path
from typing import Final

from tests.harness.children import Child
from tests.harness.topics import Topics

CONFIG: Final = Path(__file__).parent / "kept_to_zipkin.yaml"
END_TIMEOUT_S: Final = 60.0


class KeptToZipkin:
    """A running Collector between `topics.output` and Zipkin's topic."""

    def __init__(self, program: Path, topics: Topics, zipkin_topic: str, directory: Path) -> None:
        env = {
            **os.environ,
            "BROKERS": topics.bootstrap,
            "GROUP": f"{topics.group}-zipkin",
            "KEPT_TOPIC": topics.output,
            "ZIPKIN_TOPIC": zipkin_topic,
        }
        command = [str(program), "--config", str(CONFIG)]
        self._child = Child(command, log=directory / "kept_to_zipkin.log", env=env)

    def assert_runs(self) -> None:
        code = self._child.returncode()
        assert code is None, f"the Collector ended with {code}:\n{self._child.log_tail()}"

    def close(self) -> None:
        """Leave nothing behind."""
        self._child.end(signal.SIGKILL, timeout_s=END_TIMEOUT_S)
