"""Apache Kafka's own image through testcontainers, where a Docker engine answers."""

import gc
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.harness.kafka_jars import SETTINGS, kafka_version

INNER_PORT = 9092


def docker_answers() -> bool:
    """Say whether a Docker engine (or one that speaks its language) answers."""
    import docker  # noqa: PLC0415 - 0.3 s that only the search for a broker needs to spend

    with warnings.catch_warnings():
        # A refused connection leaves its socket to the collector, here and not in some later test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env(timeout=5)
        except docker.errors.DockerException:
            return False
        finally:
            gc.collect()
        client.close()
    return True


class DockerBroker:
    """The image apache/kafka on a host port of ours; a restart keeps the container's files."""

    def __init__(
        self, *, port: int, ready: Callable[[str], None], properties: Mapping[str, str]
    ) -> None:
        from testcontainers.core.container import (  # noqa: PLC0415 - slow, and needs an engine
            DockerContainer,
        )

        self.bootstrap = f"127.0.0.1:{port}"
        self._ready = ready
        self._started = False
        self._container: Any = DockerContainer(f"apache/kafka:{kafka_version()}")
        self._container.with_bind_ports(INNER_PORT, port)
        for name, value in _environment(self.bootstrap, properties).items():
            self._container.with_env(name, value)

    def start(self) -> None:
        if self._started:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._started = True
        self._ready(self.bootstrap)

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=60)

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def save_log(self, into: Path) -> None:
        (into / "broker.log").write_bytes(self._container.get_wrapped_container().logs())

    def save_data(self, into: Path) -> None:
        pieces, _ = self._container.get_wrapped_container().get_archive("/tmp/kafka-logs")
        with (into / "kafka.tar").open("wb") as archive:
            archive.writelines(pieces)

    def close(self) -> None:
        if self._started:
            self._container.stop()


def _environment(bootstrap: str, properties: Mapping[str, str]) -> dict[str, str]:
    """Return our broker settings as the image takes them: KAFKA_ and the name in capitals."""
    lines = (SETTINGS / "server.properties").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    inside = {
        "listeners": f"PLAINTEXT://0.0.0.0:{INNER_PORT},CONTROLLER://localhost:9093",
        "advertised.listeners": f"PLAINTEXT://{bootstrap}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": "1@localhost:9093",
        "log.dirs": "/tmp/kafka-logs",
    }
    settings = {name: value for name, _, value in pairs} | dict(properties) | inside
    del settings["controller.quorum.bootstrap.servers"]  # the image formats for a fixed quorum
    return {f"KAFKA_{name.replace('.', '_').upper()}": value for name, value in settings.items()}
