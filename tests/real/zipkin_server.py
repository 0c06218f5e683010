"""A real Zipkin server with its web pages, fetched through Maven, fed from Kafka alone.

`python -m tests.real.zipkin_server` fetches it: once for a version, into `.cache/zipkin/`.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from tests.harness.children import Child
from tests.harness.kafka_jars import MissingToolError, find_java
from tests.harness.ports import free_ports
from tests.harness.repository import ROOT
from tests.harness.topics import wait_for

VERSION: Final = "3.6.1"
ARTIFACT: Final = f"io.zipkin:zipkin-server:{VERSION}:jar:exec"
COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
CACHE: Final = ROOT / ".cache" / "zipkin" / VERSION
JAR: Final = CACHE / f"zipkin-server-{VERSION}-exec.jar"
FETCH_TIMEOUT_S: Final = 900
START_TIMEOUT_S: Final = 240.0
END_TIMEOUT_S: Final = 60.0
ASK_TIMEOUT_S: Final = 30.0
TRACES_MAX: Final = 100_000
INSTALL: Final = (
    "Zipkin is fetched by Maven and runs on Java 17 or later. On Debian or Ubuntu:\n"
    "  apt-get install openjdk-17-jre-headless maven"
)

ZipkinSpan = dict[str, Any]
"""A span as Zipkin's API has it: https://zipkin.io/zipkin-api/#/default/get_trace__traceId_"""


class NotFetchedError(RuntimeError):
    """There is no Zipkin here. The text says what to do."""


def fetch() -> None:
    """Fetch the server (135 MB), if it is not there.

    Raises:
        NotFetchedError: there is no Java, no Maven, or Maven could not fetch it.
    """
    _java()
    if JAR.exists():
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise NotFetchedError(f"There is no Maven (mvn). {INSTALL}")
    print(f"Fetching Zipkin {VERSION} through Maven, once (135 MB) ...")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
        command = [maven, "-q", "-B", COPY, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={fresh}"]
        done = subprocess.run(
            command, cwd=fresh, capture_output=True, text=True, check=False, timeout=FETCH_TIMEOUT_S
        )
        if done.returncode:
            raise NotFetchedError(f"Maven could not fetch {ARTIFACT}:\n{done.stdout[-2000:]}")
        (Path(fresh) / JAR.name).rename(JAR)  # whole or not there


class Zipkin:
    """A running server that collects from a Kafka topic, with its traces in memory.

    It takes spans by no other way: what its pages show came through Kafka.
    """

    def __init__(self, bootstrap: str, topic: str, directory: Path) -> None:
        """Start it. The topic must be there.

        Raises:
            NotFetchedError: it was not fetched, or there is no Java.
        """
        if not JAR.exists():
            raise NotFetchedError("there is no Zipkin: make test-real fetches one (needs Maven)")
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        env = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "KAFKA_TOPIC": topic,
            "KAFKA_GROUP_ID": f"{topic}_group",
            "HTTP_COLLECTOR_ENABLED": "false",
            "SELF_TRACING_ENABLED": "false",
        }
        listen = {"ip": "127.0.0.1", "port": f"{port}", "protocols[0]": "http"}
        options = [f"--armeria.ports[0].{name}={value}" for name, value in listen.items()]
        command = [_java(), "-Xmx512m", "-jar", str(JAR), *options]
        self._child = Child(command, log=directory / "zipkin.log", env=env)

    def wait(self) -> None:
        """Return when it is up and its collector is subscribed."""
        wait_for("Zipkin", self._is_up, timeout_s=START_TIMEOUT_S)

    def close(self) -> None:
        """Leave nothing behind."""
        self._child.end(signal.SIGKILL, timeout_s=END_TIMEOUT_S)

    def page_of(self, trace_id: str) -> str:
        """Return the address of a trace's page."""
        return f"{self.url}/zipkin/traces/{trace_id}"

    def trace(self, trace_id: str) -> list[ZipkinSpan]:
        """Return the spans of a trace, none if it has none."""
        found: list[ZipkinSpan] = self._ask(f"trace/{trace_id}") or []
        return found

    def trace_ids(self) -> set[str]:
        """Return the ids of all traces it has."""
        traces = self._ask("traces", limit=str(TRACES_MAX), lookback=str(24 * 3600 * 1000))
        return {trace[0]["traceId"] for trace in traces or ()}

    def _is_up(self) -> bool:
        assert self._child.returncode() is None, self._child.log_tail()
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{self.url}/health", timeout=ASK_TIMEOUT_S) as answer,
        ):
            health = json.load(answer)
            assert "KafkaCollector" in json.dumps(health), health
            return bool(health["status"] == "UP")
        return False

    def _ask(self, what: str, **asked: str) -> Any:
        """Return an answer of its API; None: there is no such trace."""
        url = f"{self.url}/api/v2/{what}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=ASK_TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                if refused.code == HTTPStatus.NOT_FOUND:
                    return None
                raise AssertionError(f"{what} {asked}: {refused.read().decode()}") from refused


def _java() -> str:
    try:
        return find_java()
    except MissingToolError as missing:
        raise NotFetchedError(f"{missing} {INSTALL}") from None


if __name__ == "__main__":
    try:
        fetch()
    except NotFetchedError as problem:
        raise SystemExit(str(problem)) from None
