"""The last click through a real Prometheus, where one is installed: `query_exemplars`."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping
from pathlib import Path
from time import sleep

import yaml
from prometheus_client import CollectorRegistry, start_http_server

from stream.clock import monotonic_s, now_s
from stream.demo.recall.application import NAME, SLOW_BOUND
from stream.demo.run import free_port

PROGRAM = "PROMETHEUS"
"""The environment variable that names the program; without it `prometheus` on the PATH is taken."""
TIMEOUT_S = 60.0
ASK_EVERY_S = 0.5
CALL_TIMEOUT_S = 5.0
RANGE_S = 3600.0


def prometheus_program(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return where Prometheus is; None: it is not installed."""
    return shutil.which(environment.get(PROGRAM) or "prometheus")


def exemplars_through(
    program: str, registry: CollectorRegistry, wanted: Collection[bytes], directory: Path
) -> set[bytes]:
    """Have Prometheus scrape the registry; return the trace ids of the bucket that it answers with.

    Returns as soon as it has all that are `wanted`, or after `TIMEOUT_S` with what it has.
    """
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        port = free_port()
        command = _command(program, directory, server.server_port, port)
        with (directory / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603 - the operator's own program
        try:
            return _asked(port, set(wanted), process)
        finally:
            process.terminate()
            process.wait()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def trace_ids_of(answer: bytes) -> set[bytes]:
    """Return the trace ids in an answer of `query_exemplars`.

    https://prometheus.io/docs/prometheus/latest/querying/api/#querying-exemplars
    """
    return {
        bytes.fromhex(exemplar["labels"]["trace_id"])
        for series in json.loads(answer)["data"]
        for exemplar in series["exemplars"]
    }


def _command(program: str, directory: Path, scraped_port: int, port: int) -> list[str]:
    config = directory / "prometheus.yml"
    job = {"job_name": "shop", "static_configs": [{"targets": [f"127.0.0.1:{scraped_port}"]}]}
    config.write_text(
        yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]})
    )
    return [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]


def _asked(port: int, wanted: set[bytes], process: subprocess.Popen[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    until_s = monotonic_s() + TIMEOUT_S
    while not wanted <= found and monotonic_s() < until_s and process.poll() is None:
        now = now_s()
        query = urllib.parse.urlencode(
            {
                "query": f'{NAME}_bucket{{le="{SLOW_BOUND}"}}',
                "start": f"{now - RANGE_S:.3f}",
                "end": f"{now + 1:.3f}",
            }
        )
        url = f"http://127.0.0.1:{port}/api/v1/query_exemplars?{query}"
        try:
            with urllib.request.urlopen(url, timeout=CALL_TIMEOUT_S) as answer:
                found = trace_ids_of(answer.read())
        except (urllib.error.URLError, OSError):  # it is still starting
            pass
        sleep(ASK_EVERY_S)
    return found
