"""A real Prometheus with our configuration: it scrapes workers, evaluates our alerts, is asked."""

import contextlib
import json
import os
import signal
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.harness.children import Child
from tests.harness.ports import free_ports
from tests.harness.repository import ROOT
from tests.harness.topics import wait_for

OURS = ROOT / "deploy" / "prometheus"
EVERY = "1s"
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 30.0
Series = Mapping[str, Any]


class Prometheus:
    """A running server with the configuration of `deploy/prometheus/`, but every second.

    `targets` are the addresses of each job, by what follows the workers' job in its name; `names`
    what the workers are called by the label `instance`, instead of their addresses.
    """

    def __init__(
        self,
        binary: Path,
        targets: Mapping[str, Sequence[str]],
        directory: Path,
        *,
        names: Sequence[str] = (),
    ) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        config = yaml.safe_load((OURS / "prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
        config["rule_files"] = [str(OURS / name) for name in config["rule_files"]]
        jobs = {job["job_name"]: job for job in config["scrape_configs"]}
        self.job = str(next(iter(jobs)))
        config["scrape_configs"] = []
        for what, addresses in targets.items():
            # Rekey is not in the demo: like the others it has a job of its own.
            job = f"{self.job}-{what}" if what else self.job
            static = _named(addresses, () if what else names)
            own = {"job_name": job, "static_configs": static}
            config["scrape_configs"].append({**jobs.get(job, {}), **own})
        path = directory / "prometheus.yaml"
        path.write_text(yaml.safe_dump(config))
        command = [
            str(binary),
            f"--config.file={path}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
        ]
        self._child = Child(command, log=directory / "prometheus.log", env=dict(os.environ))

    def wait(self) -> None:
        """Return when it answers."""
        wait_for("Prometheus", self._ready, timeout_s=START_TIMEOUT_S)

    def close(self) -> None:
        """Leave nothing behind."""
        self._child.end(signal.SIGKILL, timeout_s=END_TIMEOUT_S)

    def now(self, expr: str) -> list[Series]:
        """Return the value of each series of an expression, now."""
        found: list[Series] = self._ask("query", query=expr)["result"]
        return found

    def between(self, expr: str, start_s: float, end_s: float, *, step_s: int = 1) -> list[Series]:
        """Return each series of an expression over a time."""
        asked = {"query": expr, "start": f"{start_s}", "end": f"{end_s}", "step": f"{step_s}"}
        found: list[Series] = self._ask("query_range", **asked)["result"]
        return found

    def exemplars(self, expr: str, start_s: float, end_s: float) -> list[dict[str, Any]]:
        """Return the exemplars of the series that an expression names."""
        found = self._ask("query_exemplars", query=expr, start=f"{start_s}", end=f"{end_s}")
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def label_values(self, selector: str, label: str) -> list[str]:
        """Return the values of a label, as Grafana's `label_values` asks for them."""
        found: list[str] = self._ask(f"label/{label}/values", **{"match[]": selector})
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Return each rule with its health."""
        groups = self._ask("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _ready(self) -> bool:
        assert self._child.returncode() is None, self._child.log_tail()
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{self.url}/-/ready", timeout=5),
        ):
            return True
        return False

    def _ask(self, what: str, **asked: str) -> Any:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{what} {asked}: {refused.read().decode()}") from refused
        assert said["status"] == "success", said
        return said["data"]


def _named(addresses: Sequence[str], names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"targets": [address], "labels": {"instance": name}}
        for address, name in zip(addresses, names or addresses, strict=True)
    ]
