"""A real Apache Kafka for the tests: one that is there, else Docker, else its jars on Java.

`python -m tests.harness.broker` (`make kafka`) runs one in the foreground.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.harness.children import Child
from tests.harness.docker_broker import DockerBroker, docker_answers
from tests.harness.kafka_jars import KafkaJars, MissingToolError
from tests.harness.ports import free_ports
from tests.harness.topics import wait_for

BOOTSTRAP_VARIABLE = "TAILSTREAM_TEST_BOOTSTRAP"
START_TIMEOUT_S = 90.0
THREAD_DUMP_S = 1.0
FENCED = "handleBrokerFenced: changing"


class Broker(Protocol):
    """One Kafka node. `bootstrap` (host:port) is the same after a restart, so is what it holds."""

    bootstrap: str

    def start(self) -> None:
        """Start and wait until it answers."""

    def stop(self) -> None:
        """Stop it in order (SIGTERM)."""

    def kill(self) -> None:
        """Take it down as a power failure would (SIGKILL)."""

    def save_log(self, into: Path) -> None:
        """Write what it has logged so far below `into`."""

    def save_data(self, into: Path) -> None:
        """Copy all that it holds below `into`: a failed run is to be looked at."""

    def close(self) -> None:
        """Kill it if it runs, and remove what it wrote."""


class NoBrokerError(RuntimeError):
    """There is no way to get a Kafka on this machine."""


class JarBroker:
    """Kafka's own jars on the machine's Java, on free ports, its log in a folder of its own."""

    def __init__(
        self,
        jars: KafkaJars,
        *,
        port: int | None = None,
        properties: Mapping[str, str] | None = None,
        more: str = "",
        scram: Sequence[str] = (),
    ) -> None:
        """`more` are lines above our properties, `scram` users as the storage tool takes them."""
        self._jars = jars
        self._more = more + "".join(
            f"\n{name}={value}" for name, value in (properties or {}).items()
        )
        self._scram = scram
        free_port, self._controller_port = free_ports(2)
        self._port = port or free_port
        self.bootstrap = f"127.0.0.1:{self._port}"
        self._home: Path | None = None
        self._child: Child | None = None
        self._was_killed = False

    def start(self) -> None:
        assert self._child is None, "it runs"
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="tailstream-kafka-"))
            ports = {"port": self._port, "controller_port": self._controller_port}
            self._jars.prepare(self._home, more=self._more, scram=self._scram, **ports)
        if self._was_killed:
            self._fence(self._home)
        self._child = Child(self._jars.server_command(self._home), log=self._home / "broker.log")
        wait_until_it_answers(self.bootstrap, self._child)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def save_log(self, into: Path) -> None:
        if self._home is not None:
            shutil.copy(self._home / "broker.log", into)

    def save_data(self, into: Path) -> None:
        if self._home is not None:
            if self._child is not None:
                os.kill(self._child.pid, signal.SIGQUIT)  # its threads' stacks, into its log
                time.sleep(THREAD_DUMP_S)
            place = into / f"kafka-{1 + len(list(into.glob('kafka-*')))}"
            with contextlib.suppress(shutil.Error):  # it runs: now and then a file goes meanwhile
                shutil.copytree(self._home, place)

    def close(self) -> None:
        self.kill()
        if self._home is not None:
            shutil.rmtree(self._home)

    def _fence(self, home: Path) -> None:
        """Let its controller notice that the broker is gone, as one on another machine would.

        Alone, Kafka 4.4 comes back from a kill as the leader that it was, is fenced, and half a
        second later leads again. A load of the groups' log that has begun meanwhile is taken for
        the second one: the coordinator goes on with half of its groups (stream/RATIONALE.md).
        """
        command = self._jars.controller_command(home, port=self._controller_port)
        log = home / "controller.log"
        log.unlink(missing_ok=True)
        controller = Child(command, log=log)

        def fenced() -> bool:
            assert controller.returncode() is None, f"it ended:\n{controller.log_tail()}"
            return FENCED in log.read_text()

        wait_for("the controller to fence the broker", fenced, timeout_s=START_TIMEOUT_S)
        controller.end(signal.SIGTERM, timeout_s=60)  # killed, it may lose what it has just said

    def _end(self, sig: signal.Signals) -> None:
        if self._child is not None:
            self._child.end(sig, timeout_s=60)
            self._child = None
            self._was_killed = sig == signal.SIGKILL


class GivenBroker:
    """A Kafka that somebody else runs: not ours to stop."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def start(self) -> None:
        wait_until_it_answers(self.bootstrap)

    def stop(self) -> None:
        raise RuntimeError(f"{BOOTSTRAP_VARIABLE}={self.bootstrap} is not ours to stop")

    def kill(self) -> None:
        self.stop()

    def save_log(self, into: Path) -> None:
        """Whoever runs it has its log."""

    def save_data(self, into: Path) -> None:
        """Whoever runs it has its data."""

    def close(self) -> None:
        """Nothing of it is ours."""


@contextlib.contextmanager
def running_broker(
    *, own: bool = False, port: int | None = None, properties: Mapping[str, str] | None = None
) -> Iterator[Broker]:
    """Give a started broker, gone at the end. `own`: one that the caller may stop and kill.

    `properties` are server properties over ours; only a broker of one's own has them.

    Raises NoBrokerError, which says what to install.
    """
    assert own or not properties, "somebody else's broker has its own properties"
    broker = _find(own=own, port=port, properties=properties or {})
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def wait_until_it_answers(bootstrap: str, child: Child | None = None) -> None:
    """Return when the broker has answered a metadata request; RuntimeError when it does not."""
    # A client that was refused waits longer and longer, up to 10 s, before it tries again.
    eager = {"reconnect.backoff.max.ms": 500}
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, **eager})
    until_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until_s:
        if child is not None and child.returncode() is not None:
            raise RuntimeError(f"Kafka ended at its start:\n{child.log_tail()}")
        with contextlib.suppress(KafkaException):
            if admin.list_topics(timeout=1).brokers:
                return
        admin.poll(0)
    log = f"\n{child.log_tail()}" if child else ""
    raise RuntimeError(f"no Kafka answered at {bootstrap} within {START_TIMEOUT_S:.0f} s{log}")


def _find(*, own: bool, port: int | None, properties: Mapping[str, str]) -> Broker:
    bootstrap = os.environ.get(BOOTSTRAP_VARIABLE)
    if bootstrap and not own:
        return GivenBroker(bootstrap)
    if docker_answers():
        port = port or free_ports(1)[0]
        return DockerBroker(port=port, ready=wait_until_it_answers, properties=properties)
    try:
        return JarBroker(KafkaJars.on_this_machine(), port=port, properties=properties)
    except MissingToolError as missing:
        raise NoBrokerError(
            "These tests need a real Apache Kafka, and there is no way to get one here.\n"
            f"  1. {BOOTSTRAP_VARIABLE} is not set (host:port of a Kafka whose topics may be made),"
            "\n  2. no Docker engine answers,\n"
            f"  3. {missing}\n"
            "Any one of the three is enough. On Debian or Ubuntu:\n"
            "  apt-get install openjdk-17-jre-headless maven"
        ) from missing


def _foreground(port: int | None) -> None:
    for ended_by in (signal.SIGINT, signal.SIGTERM):  # a background job starts with SIGINT ignored
        signal.signal(ended_by, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), running_broker(own=True, port=port) as broker:
        print(f"Apache Kafka listens on {broker.bootstrap}; Ctrl-C ends it and removes its data.")
        print(f"  make demo KAFKA={broker.bootstrap}", flush=True)
        signal.pause()


if __name__ == "__main__":
    try:
        _foreground(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    except NoBrokerError as none:
        sys.exit(str(none))
