"""The real Collector: one process, a pipeline with its own `tail_sampling` for each configuration.

All of them read the same spans in the same order from one OTLP receiver; a request is answered when
all have taken it. A stop lets each decide on what is open (`drop_pending_traces_on_shutdown` is
off) and write it: so nothing of a recording depends on when the one-second ticks fall, where a wait
is long. The gate `recordpolicy` has it write which policy kept a trace.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.conformance.configurations import Block
from tests.harness.children import Child
from tests.harness.ports import free_ports

GATE: Final = "processor.tailsamplingprocessor.recordpolicy"
POLICY: Final = "tailsampling.policy"
START_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 180.0
REQUEST_BYTES: Final = 200_000
LOOK_EVERY_S: Final = 0.05


class NotStartedError(RuntimeError):
    """The Collector ended at its start. The text is the end of its log."""


class Collector:
    """A running Collector with these `tail_sampling` blocks, by name; files in `directory`."""

    def __init__(
        self, binary: Path, blocks: Mapping[str, Block], directory: Path, gates: Iterable[str] = ()
    ) -> None:
        (self._port,) = free_ports(1)
        self._directory = directory
        config = directory / "collector.json"
        config.write_text(json.dumps(_config(blocks, directory, self._port)))
        all_gates = ",".join(sorted({GATE, *gates} - {""}))
        command = [str(binary), "--config", str(config), f"--feature-gates={all_gates}"]
        self._child = Child(command, log=directory / "collector.log", env=dict(os.environ))

    def wait(self) -> None:
        """Wait until it takes spans.

        Raises:
            NotStartedError: it ended.
        """
        until_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until_s:
            if self._child.returncode() is not None:
                raise NotStartedError(self._child.log_tail())
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self._port), timeout=1),
            ):
                return
            time.sleep(LOOK_EVERY_S)
        raise TimeoutError(f"it did not start in {START_TIMEOUT_S:.0f} s: {self._child.log_tail()}")

    def feed(self, messages: Sequence[TracesData]) -> None:
        """Send messages in their order, several a request: their bytes in a row are one message."""
        sender = http.client.HTTPConnection("127.0.0.1", self._port, timeout=END_TIMEOUT_S)
        with contextlib.closing(sender):
            for body in _requests(messages):
                headers = {"Content-Type": "application/x-protobuf"}
                sender.request("POST", "/v1/traces", body, headers)
                answer = sender.getresponse()
                said = answer.read()
                assert answer.status == http.HTTPStatus.OK, (answer.status, said)

    def stop(self) -> None:
        """Let it decide on everything that is open, and end."""
        code = self._child.end(signal.SIGTERM, timeout_s=END_TIMEOUT_S)
        assert code == 0, f"it ended with {code}: {self._child.log_tail()}"

    def close(self) -> None:
        """Leave nothing behind."""
        self._child.end(signal.SIGKILL, timeout_s=END_TIMEOUT_S)

    def kept(self, name: str) -> dict[bytes, str]:
        """Return the traces that this pipeline kept, and which policy did, once it has ended."""
        found: dict[bytes, str] = {}
        for message in _written(_output(self._directory, name).read_bytes()):
            for group in message.resource_spans:
                for scope_spans in group.scope_spans:
                    named = [pair for pair in scope_spans.scope.attributes if pair.key == POLICY]
                    policy = named[0].value.string_value if named else ""
                    for span in scope_spans.spans:
                        found[span.trace_id] = policy or found.get(span.trace_id, "")
        assert all(found.values()), f"{name}: a trace was kept by no policy"
        return found


def _config(blocks: Mapping[str, Block], directory: Path, port: int) -> dict[str, Any]:
    pipelines = {
        f"traces/{name}": {
            "receivers": ["otlp"],
            "processors": [f"tail_sampling/{name}"],
            "exporters": [f"file/{name}"],
        }
        for name in blocks
    }
    return {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": {f"tail_sampling/{name}": block for name, block in blocks.items()},
        "exporters": {
            f"file/{name}": {"path": str(_output(directory, name)), "format": "proto"}
            for name in blocks
        },
        "service": {
            "telemetry": {"logs": {"level": "warn"}, "metrics": {"level": "none"}},
            "pipelines": pipelines,
        },
    }


def _output(directory: Path, name: str) -> Path:
    return directory / f"{name}.kept"


def _requests(messages: Sequence[TracesData]) -> Iterable[bytes]:
    body = b""
    for message in messages:
        body += message.SerializeToString()
        if len(body) >= REQUEST_BYTES:
            yield body
            body = b""
    if body:
        yield body


def _written(content: bytes) -> Iterable[TracesData]:
    """Yield what the file exporter wrote: each message after its size, 4 bytes, big-endian."""
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        at += 4
        yield TracesData.FromString(content[at : at + size])
        at += size
