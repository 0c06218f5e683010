"""`tailstream`'s commands on the topics of a test, as an operator calls them."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.harness.children import Child
from tests.harness.topics import GroupOffsets, Topics, end_offsets, wait_for

COMMAND: Final = Path(sys.executable).with_name("tailstream")
TIMEOUT_S: Final = 180.0


def called(topics: Topics, *words: str, more: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a command to its end; return its exit code and all that it said."""
    ended = subprocess.run(
        _command(topics, words, more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return ended.returncode, ended.stdout


class Running:
    """`tailstream rekey` or `export`: works until it is told to stop."""

    def __init__(
        self, topics: Topics, name: str, directory: Path, more: Mapping[str, str] | None = None
    ) -> None:
        self._topics = topics
        self._group = f"{topics.group}-{name}"
        log = directory / f"{name}.log"
        self._child = Child(_command(topics, (name,), more), log=log, env={**os.environ})

    def wait_until_through(self, source: str) -> None:
        """Return when its group has committed the end of the topic that it reads."""
        ends = {n: end for n, end in end_offsets(self._topics.bootstrap, source).items() if end}
        group = GroupOffsets(self._topics.bootstrap, self._group, source)

        def reached() -> bool:
            code = self._child.returncode()
            assert code is None, f"it ended with {code}:\n{self.log_tail()}"
            return group.committed() == ends

        try:
            wait_for(f"the end of {source}", reached, timeout_s=TIMEOUT_S)
        except TimeoutError as late:
            state = f"{group.committed()} of {ends}\n{self.log_tail()}"
            raise TimeoutError(f"{late}: {state}") from late

    def terminate(self) -> None:
        """SIGTERM: it must end by itself, with exit code 0."""
        code = self._child.end(signal.SIGTERM, timeout_s=TIMEOUT_S)
        assert code == 0, f"it ended with {code}:\n{self.log_tail()}"

    def close(self) -> None:
        """Leave nothing behind."""
        if self._child.returncode() is None:
            self._child.end(signal.SIGKILL, timeout_s=TIMEOUT_S)

    def log_tail(self) -> str:
        return self._child.log_tail()


def _command(topics: Topics, words: tuple[str, ...], more: Mapping[str, str] | None) -> list[str]:
    assert COMMAND.exists(), f"{COMMAND} is not there: make install"
    settings = {
        "kafka.bootstrap.servers": topics.bootstrap,
        "worker.group": topics.group,
        "worker.session_timeout": "6s",
        "topics.input": topics.input,
        "topics.output": topics.output,
        "topics.decisions": topics.decisions,
        "topics.dead_letters": topics.dead_letters,
        **(more or {}),
    }
    options = [word for each in settings.items() for word in ("--set", "=".join(each))]
    return [str(COMMAND), words[0], *options, *words[1:]]
