"""`tailstream worker` as a process of its own, as an operator runs it."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.children import Child
from tests.harness.oracle import Rules
from tests.harness.ports import free_ports
from tests.harness.topics import GroupOffsets, Topics, end_offsets, wait_for

READY_TIMEOUT_S = 60.0
END_TIMEOUT_S = 20.0
COMMAND = Path(sys.executable).with_name("tailstream")


class WorkerProcess:
    """One worker slot: it can be started again after its end, under the same instance id."""

    def __init__(
        self,
        topics: Topics,
        rules: Rules,
        directory: Path,
        *,
        slot: str,
        instance_id: str | None = None,
        under_faust: bool = False,
        static: bool = False,
        kafka: Mapping[str, str] | None = None,
        storage: Mapping[str, object] | None = None,
        policies: Sequence[Mapping[str, object]] | None = None,
        more: Mapping[str, Mapping[str, object]] | None = None,
        log_level: str = "info",
    ) -> None:
        self.slot = slot
        self.instance_id = instance_id or slot
        self._under_faust = under_faust
        self._static = static
        self._kafka = kafka or {}
        self._storage = storage or {"memory": "64MiB"}
        self._policies = policies or _policies(rules)
        self._more = more or {}
        self._log_level = log_level
        self._topics = topics
        self._rules = rules
        self._home = directory / slot
        self._home.mkdir()
        self.port = free_ports(1)[0]
        self._child: Child | None = None

    @property
    def address(self) -> str:
        """Where its pages are: host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def directory(self) -> Path:
        """Where its stores are, while it runs and after."""
        return self._home / "data"

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return None if self._child is None else self._child.pid

    def join_as(self, *, static: bool, kafka: Mapping[str, str]) -> None:
        """From the next start on, be this kind of member, with these of librdkafka's settings."""
        self._static = static
        self._kafka = kafka

    def start(self) -> None:
        """Start it; it need not be ready yet."""
        assert self._child is None, f"{self.slot} runs"
        assert COMMAND.exists(), f"{COMMAND} is not there: make install"
        config = self._home / "tailstream.yaml"
        config.write_text(yaml.safe_dump(self._settings()))
        command = [str(COMMAND), "worker", "--config", str(config)]
        if self._under_faust:
            faust = str(COMMAND.with_name("faust"))
            command = [faust, "-A", "stream.app", "worker", "--web-port", str(self.port)]
        env = {**os.environ, "PYTHONFAULTHANDLER": "1", "TAILSTREAM_CONFIG": str(config)}
        self._child = Child(command, log=self._home / "worker.log", env=env)

    def wait_until_ready(self) -> None:
        """Return when it has partitions and they are restored."""
        try:
            wait_for(f"{self.slot} ready", self._ready, timeout_s=READY_TIMEOUT_S)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{self.log_tail()}") from None

    def is_ready(self) -> bool:
        """Tell whether it has partitions and they are restored; it may also have ended."""
        return self._get("/readyz") is not None

    def partitions(self) -> set[str]:
        """Return the partitions it owns by its own metrics, none while it does not answer."""
        return {label for label, _ in self.samples("tailstream_open_traces", "partition")}

    def accounts(self) -> dict[str, int]:
        """Return the accounting law's outcomes, in spans, by its own metrics."""
        outcomes = {
            label: int(value) for label, value in self.samples("tailstream_spans_total", "outcome")
        }
        (received,) = self.samples("tailstream_spans_received_total", "")
        return {**outcomes, "received": int(received[1])}

    def records(self) -> dict[str, int]:
        """Return how many records of an odd kind it met."""
        return {
            label: int(value) for label, value in self.samples("tailstream_records_total", "kind")
        }

    def held_bytes(self) -> dict[str, int]:
        """Return what it holds, by place."""
        return {
            label: int(value) for label, value in self.samples("tailstream_held_bytes", "where")
        }

    def send(self, sig: signal.Signals) -> None:
        """Send it a signal; see `ended` for what comes of it."""
        assert self._child is not None, f"{self.slot} was not started"
        if self._child.returncode() is None:
            os.kill(self._child.pid, sig)

    def terminate(self) -> None:
        """SIGTERM: it must end by itself, with exit code 0."""
        code = self._end(signal.SIGTERM)
        assert code == 0, f"{self.slot} ended with {code}:\n{self.log_tail()}"

    def kill(self) -> None:
        """SIGKILL; it must have been alive until now."""
        code = self._end(signal.SIGKILL)
        assert code == -signal.SIGKILL, f"{self.slot} had ended: {code}:\n{self.log_tail()}"

    def ended(self) -> int | None:
        """Return its exit code once it has ended by itself, None while it runs."""
        assert self._child is not None, f"{self.slot} was not started"
        return self._child.returncode()

    def forget(self) -> None:
        """It has ended by itself, as it may: let it be started again."""
        assert self.ended() is not None, f"{self.slot} runs"
        self._child = None

    def get(self, page: str, accept: str = "") -> tuple[str, str]:
        """Return a page's content type and text."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{page}")
        request.add_header("Accept", accept)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.headers["Content-Type"], answer.read().decode()

    def page(self, path: str) -> str:
        """Return what a path answers, whatever its status."""
        try:
            return self.get(path)[1]
        except urllib.error.HTTPError as refused:
            return refused.read().decode()

    def close(self) -> None:
        """Leave nothing behind."""
        if self._child is not None:
            self._end(signal.SIGKILL)

    def log_tail(self, lines: int = 30) -> str:
        log = self._home / "worker.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def assert_runs(self) -> None:
        assert self._child is not None
        code = self._child.returncode()
        assert code is None, f"{self.slot} ended by itself with {code}:\n{self.log_tail()}"

    def _end(self, sig: signal.Signals) -> int:
        assert self._child is not None, f"{self.slot} does not run"
        child, self._child = self._child, None
        try:
            return child.end(sig, timeout_s=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.end(signal.SIGABRT, timeout_s=END_TIMEOUT_S)  # its last words: every stack
            raise TimeoutError(f"{self.slot} did not end:\n{self.log_tail(200)}") from None

    def _ready(self) -> bool:
        self.assert_runs()
        return self._get("/readyz") is not None

    def samples(self, name: str, label: str) -> list[tuple[str, float]]:
        """Return a metric's samples, each (value of a label, value); none while it is mute."""
        text = self._get("/metrics") or ""
        return [
            (sample.labels.get(label, ""), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        ]

    def _get(self, page: str) -> str | None:
        """Return a page's text, None while it is not there or not well."""
        url = f"http://127.0.0.1:{self.port}{page}"
        with (
            contextlib.suppress(OSError, http.client.HTTPException),  # frozen, it takes and is mute
            urllib.request.urlopen(url, timeout=5) as answer,
        ):
            text: str = answer.read().decode()
            return text
        return None

    def _settings(self) -> dict[str, dict[str, object]]:
        rules, topics = self._rules, self._topics
        settings: dict[str, dict[str, object]] = {
            "kafka": {
                "bootstrap.servers": topics.bootstrap,
                # A group that waits for a member that died while it joined: not for a minute.
                "max.poll.interval.ms": "20000",
                **self._kafka,
            },
            "worker": {
                "group": topics.group,
                "instance_id": self.instance_id,
                "static_membership": self._static,
                "commit_interval": "300ms",
                "session_timeout": "6s",
                "transaction_timeout": "10s",
            },
            "topics": {
                "input": topics.input,
                "output": topics.output,
                "decisions": topics.decisions,
                "dead_letters": topics.dead_letters,
            },
            "tail_sampling": {
                "decision_wait": f"{rules.decision_wait_ms}ms",
                "policies": [*self._policies],
            },
            "storage": {"directory": str(self.directory), **self._storage},
            "web": {"port": self.port},
            "log": {"format": "json", "level": self._log_level},
        }
        for section, given in self._more.items():
            settings[section] = {**settings.get(section, {}), **given}
        return settings


def wait_until_all_is_decided(
    topics: Topics, workers: Sequence[WorkerProcess], *, timeout_s: float = 120.0
) -> None:
    """Return when the position and the resume offset have both reached the end of the input."""
    ends = {
        number: end for number, end in end_offsets(topics.bootstrap, topics.input).items() if end
    }
    groups = [
        GroupOffsets(topics.bootstrap, name, topics.input)
        for name in (f"{topics.group}-position", topics.group)
    ]

    def reached() -> bool:
        for worker in workers:
            worker.assert_runs()
        # Of an empty partition a worker may have committed the beginning.
        committed = ({n: at for n, at in group.committed().items() if at} for group in groups)
        return all(offsets == ends for offsets in committed)

    try:
        wait_for("everything read and decided", reached, timeout_s=timeout_s)
    except TimeoutError as late:
        offsets = [group.committed() for group in groups]
        logs = "\n".join(f"{worker.slot}:\n{worker.log_tail()}" for worker in workers)
        raise TimeoutError(f"{late}\nends {ends}\nposition, resume {offsets}\n{logs}") from late


def _policies(rules: Rules) -> list[dict[str, object]]:
    return [
        {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        {"name": "slow", "type": "latency", "latency": {"threshold_ms": rules.slow_ms}},
        {
            "name": "rest",
            "type": "probabilistic",
            "probabilistic": {"sampling_percentage": rules.percentage},
        },
    ]
