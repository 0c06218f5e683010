"""`make test-kubernetes`: the chart and its manifests, judged by helm and by a real API server.

Needs Go (helm, kubectl and kube-apiserver are built where the PATH has none: a quarter of an hour,
once), etcd and openssl. KEDA's and the Prometheus operator's kinds are installed, so that their
objects are judged by their own schemas. Nothing is scheduled: no kubelet runs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.harness.chart import VARIANTS, manifest, rendered
from tests.harness.repository import ROOT
from tests.kubernetes.api_server import ApiServer
from tests.kubernetes.tools import NoToolError, Tools, tools

NAMESPACE = "tailstream"


def main() -> int:
    """Run the checks; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.kubernetes")
    parser.add_argument("--render", action="store_true", help="write deploy/manifests anew first")
    options = parser.parse_args()
    try:
        found = tools()
    except NoToolError as missing:
        print(missing, file=sys.stderr)
        return 2
    if options.render:
        for variant in VARIANTS:
            manifest(variant).write_text(rendered(str(found.helm), variant))
    with ApiServer(found) as server:
        _install_kinds(server, found)
        server.demand("create", "namespace", NAMESPACE)
        for variant in VARIANTS:
            said = _dry_run(server, manifest(variant))
            print(f"{variant}: the API server takes {len(said.splitlines())} objects", flush=True)
        _demand_that_a_misspelt_field_is_refused(server)
    return _chart_tests(found)


def _install_kinds(server: ApiServer, found: Tools) -> None:
    crds = [str(path) for path in sorted(found.crds.glob("*.yaml"))]
    server.demand("apply", "--server-side", *(f"--filename={path}" for path in crds))
    server.demand("wait", "--for=condition=established", "--timeout=60s", "crd", "--all")


def _dry_run(server: ApiServer, path: Path) -> str:
    checks = ("--dry-run=server", "--validate=strict", f"--namespace={NAMESPACE}")
    return server.demand("apply", *checks, f"--filename={path}")


def _demand_that_a_misspelt_field_is_refused(server: ApiServer) -> None:
    """Without it a server that judges nothing would pass, too."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "misspelt.yaml"
        for right in ("terminationGracePeriodSeconds", "pollingInterval"):
            text = manifest("everything").read_text()
            assert right in text
            path.write_text(text.replace(right, right[:-1]))
            try:
                _dry_run(server, path)
            except RuntimeError:
                continue
            raise AssertionError(f"{right[:-1]} was not refused")
    print("a misspelt field is refused, also in KEDA's object", flush=True)


def _chart_tests(found: Tools) -> int:
    env = {**os.environ, "HELM": str(found.helm)}
    tests = ("tests/kubernetes", "tests/deploy/test_chart.py")
    command = [sys.executable, "-m", "pytest", "-q", *tests]
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
