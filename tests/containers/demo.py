"""The compose demo as a process group: brought up on free ports, asked over HTTP, taken down."""

import json
import os
import re
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.harness.compose import FILE
from tests.harness.ports import free_ports
from tests.harness.topics import wait_for

PROJECT: Final = "tailstream-check"
UP_TIMEOUT_S: Final = 1_800.0
READY_TIMEOUT_S: Final = 180.0
HTTP_TIMEOUT_S: Final = 5.0
LOG_LINES: Final = "40"
WORKERS: Final = ("worker-1", "worker-2")
REPLAYED: Final = "replayed"
"""The one outcome outside the accounting law."""


class NotAnsweredError(RuntimeError):
    """A page did not answer with 2xx."""


class Demo:
    """docker-compose.yml under a name and on ports of its own, removed at the end.

    `services` are those to start (with what they depend on), all where there are none; `more` are
    compose files on top; the environment's COMPOSE is the command, `docker compose` where unset.
    """

    def __init__(self, services: Sequence[str], more: Sequence[Path], *, build: bool) -> None:
        self._command = shlex.split(os.environ.get("COMPOSE", "docker compose"))
        self._files = [part for path in (FILE, *more) for part in ("--file", str(path))]
        self._services = list(services)
        self._build = build
        variables = sorted(set(re.findall(r"\$\{(\w+_PORT):-", FILE.read_text())))
        ports = free_ports(len(variables))
        self.ports: Final = dict(zip(variables, ports, strict=True))

    def __enter__(self) -> Self:
        try:
            self.compose(
                "up", "--detach", "--build" if self._build else "--no-build", *self._services
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "30")

    def compose(self, *arguments: str) -> str:
        """Run a compose command; RuntimeError with what it said where it fails."""
        command = [*self._command, "--project-name", PROJECT, *self._files, *arguments]
        ended = subprocess.run(
            command,
            env={**os.environ, **{name: str(port) for name, port in self.ports.items()}},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=UP_TIMEOUT_S,
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(
                f"{shlex.join(command)} ended with {ended.returncode}:\n{ended.stdout}"
            )
        return ended.stdout

    def runs(self, service: str) -> bool:
        """Tell whether a service is one of those that were started."""
        return not self._services or service in self._services

    def log(self, service: str) -> str:
        """Return the last lines that a service logged."""
        return self.compose("logs", "--no-color", "--tail", LOG_LINES, service)

    @property
    def bootstrap(self) -> str:
        return f"localhost:{self.ports['KAFKA_PORT']}"

    def wait_until_ready(self, worker: str) -> None:
        """Return when a worker has partitions and they are restored."""

        def ready() -> bool:
            try:
                self.get(_port_of(worker), "/readyz")
            except NotAnsweredError:
                return False
            return True

        try:
            wait_for(f"{worker} ready", ready, timeout_s=READY_TIMEOUT_S)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{self.log(worker)}") from None

    def accounts(self, worker: str) -> dict[str, int]:
        """Return a worker's spans at one moment: by outcome, `received` and `open`."""
        found: dict[str, int] = {}
        for family in text_string_to_metric_families(self.get(_port_of(worker), "/metrics")):
            for sample in family.samples:
                value = int(sample.value)
                if sample.name == "tailstream_spans_total":
                    found[sample.labels["outcome"]] = value
                elif sample.name == "tailstream_spans_received_total":
                    found["received"] = value
                elif sample.name == "tailstream_open_spans":
                    found["open"] = found.get("open", 0) + value
        return found

    def get(self, port: str, path: str) -> str:
        """Return a page of a service that listens on this published port."""
        return self._ask(urllib.request.Request(self.url(port, path)))

    def get_json(self, port: str, path: str) -> Any:
        """Return a page of a service as JSON."""
        return json.loads(self.get(port, path))

    def post(self, port: str, path: str, body: bytes) -> None:
        """Send protobuf to a service."""
        headers = {"Content-Type": "application/x-protobuf"}
        self._ask(urllib.request.Request(self.url(port, path), data=body, headers=headers))

    def url(self, port: str, path: str) -> str:
        """Return where a service is found from here."""
        return f"http://127.0.0.1:{self.ports[port]}{path}"

    def _ask(self, request: urllib.request.Request) -> str:
        try:
            with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as answer:
                return str(answer.read().decode())
        except (OSError, urllib.error.HTTPError) as problem:
            raise NotAnsweredError(f"{request.full_url}: {problem}") from problem


def unaccounted(accounts: dict[str, int]) -> int:
    """Return how many spans have no name for where they went: 0, or the law is broken."""
    counted = {n: v for n, v in accounts.items() if n not in ("received", REPLAYED)}
    return accounts["received"] - sum(counted.values())


def _port_of(worker: str) -> str:
    return f"{worker.upper().replace('-', '_')}_PORT"
