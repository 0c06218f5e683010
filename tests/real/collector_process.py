"""A real Collector between a test and Kafka, with one of the configurations beside this file."""

import contextlib
import http.client
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.harness.children import Child
from tests.harness.ports import free_ports
from tests.harness.topics import Topics, wait_for

HERE: Final = Path(__file__).parent
TO_KAFKA: Final = HERE / "collector_to_kafka.yaml"
FROM_KAFKA: Final = HERE / "collector_from_kafka.yaml"
FROM_OTLP: Final = HERE / "collector_from_otlp.yaml"
START_TIMEOUT_S: Final = 90.0
END_TIMEOUT_S: Final = 90.0
ANSWER_TIMEOUT_S: Final = 60.0


def settings_of(topics: Topics, topic: str) -> dict[str, str]:
    """Return what the configurations with Kafka name as `${env:...}`, uncompressed OTLP by key."""
    return {
        "BROKERS": topics.bootstrap,
        "GROUP": f"{topics.group}-collector",
        "TOPIC": topic,
        "PARTITIONER": "{}",
        "KEYED": "true",
        "ENCODING": "otlp_proto",
        "COMPRESSION": "none",
        "SIGNAL_HEADER": "false",
    }


class CollectorProcess:
    """A Collector that can be killed and started again; each start writes a file of its own."""

    def __init__(
        self, program: Path, config: Path, directory: Path, settings: Mapping[str, str]
    ) -> None:
        """`settings` are what the configuration names as `${env:...}`."""
        directory.mkdir(exist_ok=True)
        (self._port,) = free_ports(1)
        self._directory = directory
        self._command = [str(program), "--config", str(config)]
        self._settings = {**settings, "OTLP_PORT": str(self._port)}
        self._takes_otlp = "${env:OTLP_PORT}" in config.read_text()
        self._starts = 0
        self._child: Child | None = None

    @property
    def endpoint(self) -> str:
        """Where it takes OTLP over HTTP."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it takes OTLP, if it does."""
        assert self._child is None, "it runs"
        self._starts += 1
        written = self._directory / f"{self._starts}.traces"
        env = {**os.environ, **self._settings, "FILE": str(written)}
        self._child = Child(self._command, log=self._directory / "collector.log", env=env)
        if self._takes_otlp:
            wait_for("the Collector", self._answers, timeout_s=START_TIMEOUT_S)

    def send(
        self, body: bytes, headers: Mapping[str, str] | None = None, *, signal: str = "traces"
    ) -> None:
        """Post a TracesData, or a message of another signal, as OTLP over HTTP."""
        self.assert_runs()
        sender = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_TIMEOUT_S)
        with contextlib.closing(sender):
            own = {"Content-Type": "application/x-protobuf"}
            sender.request("POST", f"/v1/{signal}", body, {**own, **(headers or {})})
            answer = sender.getresponse()
            said = answer.read()
        assert answer.status == http.HTTPStatus.OK, (answer.status, said, self.log_tail())

    def stop(self) -> None:
        """SIGTERM: what waits in its queue goes out, and it ends."""
        code = self._end(signal.SIGTERM)
        assert code == 0, f"the Collector ended with {code}:\n{self.log_tail()}"

    def kill(self) -> None:
        """SIGKILL; it must have been alive until now."""
        code = self._end(signal.SIGKILL)
        assert code == -signal.SIGKILL, f"the Collector had ended: {code}:\n{self.log_tail()}"

    def close(self) -> None:
        """Leave nothing behind."""
        if self._child is not None:
            self._end(signal.SIGKILL)

    def written(self) -> list[TracesData]:
        """Return what its file exporter has written so far, of every start."""
        files = sorted(self._directory.glob("*.traces"))
        return [message for file in files for message in _messages(file.read_bytes())]

    def log_tail(self) -> str:
        return "\n".join(self._log()[-30:])

    def complaints(self) -> list[str]:
        """Return the lines of its log that are warnings or worse."""
        return [line for line in self._log() if line.split("\t")[1:2] != ["info"]]

    def assert_runs(self) -> None:
        assert self._child is not None, "it was not started"
        code = self._child.returncode()
        assert code is None, f"the Collector ended by itself with {code}:\n{self.log_tail()}"

    def _log(self) -> list[str]:
        return (self._directory / "collector.log").read_text(errors="replace").splitlines()

    def _answers(self) -> bool:
        self.assert_runs()
        caller = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_TIMEOUT_S)
        with contextlib.closing(caller), contextlib.suppress(OSError):
            caller.request("GET", "/")
            caller.getresponse()
            return True
        return False

    def _end(self, sig: signal.Signals) -> int:
        assert self._child is not None, "it does not run"
        child, self._child = self._child, None
        return child.end(sig, timeout_s=END_TIMEOUT_S)


def _messages(content: bytes) -> Iterator[TracesData]:
    """Yield what the file exporter wrote: each message after its size, 4 bytes, big-endian.

    A kill may have cut the last one off.
    """
    at = 0
    while at + 4 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        at += 4
        if at + size <= len(content):
            yield TracesData.FromString(content[at : at + size])
        at += size
