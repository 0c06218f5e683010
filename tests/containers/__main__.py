"""`make test-containers`: the compose demo, brought up by an engine and asked whether it works.

Needs a container engine and compose (the environment's COMPOSE names the command). What it checks:
the image builds, every start order and health check holds, the topics are made, both workers get
ready, a trace with an error goes through the Collector's gateway to the output (and to Jaeger), no
span is unaccounted for, also after a kill -9 of a worker; Prometheus sees both workers, Grafana has
the dashboards.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
    TracesData,
)

from tests.containers.demo import WORKERS, Demo, NotAnsweredError, unaccounted
from tests.harness.reading import read_whole
from tests.harness.repository import ROOT
from tests.harness.topics import wait_for

KEPT_TIMEOUT_S = 90.0
OUTPUT = "otlp_spans_sampled"
INPUT = "otlp_spans"
TRACES = 300
SUITE = ("tests/integration/test_broker.py", "tests/integration/test_export_command.py")


def main() -> int:
    """Run the checks that the started services allow; return the process's exit code."""
    options = _options()
    if options.suite:
        return _suite()
    with Demo(options.services, options.more, build=not options.no_build) as demo:
        for worker in WORKERS:
            demo.wait_until_ready(worker)
        _said("the topics are made, both workers are ready")
        _load(demo)
        if demo.runs("collector"):
            _through_the_gateway(demo)
        _accounted(demo)
        demo.compose("kill", "--signal", "SIGKILL", "worker-1")
        demo.compose("start", "worker-1")
        demo.wait_until_ready("worker-1")
        _load(demo)
        _accounted(demo)
        _said("worker-1 came back after kill -9")
        if demo.runs("prometheus"):
            _scraped(demo)
        if demo.runs("grafana"):
            _dashboards(demo)
    _said("green")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.containers")
    parser.add_argument("services", nargs="*", help="of docker-compose.yml; all if none is named")
    parser.add_argument(
        "--more", type=Path, action="append", default=[], help="a compose file on top"
    )
    parser.add_argument("--no-build", action="store_true", help="the image is there")
    parser.add_argument(
        "--suite", action="store_true", help="instead: integration tests on containers of Kafka"
    )
    return parser.parse_args()


def _suite() -> int:
    """Run integration tests whose broker is a container: no other one is offered."""
    env = {name: value for name, value in os.environ.items() if name != "TAILSTREAM_TEST_BOOTSTRAP"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *SUITE], cwd=ROOT, env=env, check=False
    ).returncode


def _load(demo: Demo) -> None:
    """Send made-up traces, and wait until their windows have closed."""
    command = [sys.executable, "-m", "stream.cli", "generate", "--bootstrap", demo.bootstrap]
    more = ["--topic", INPUT, "--traces", str(TRACES), "--rate", "100", "--late", "0"]
    subprocess.run([*command, *more], cwd=ROOT, check=True, capture_output=True)


def _accounted(demo: Demo) -> None:
    """Demand that spans were kept, and that none is unaccounted for."""

    def kept() -> bool:
        return sum(demo.accounts(worker).get("sampled", 0) for worker in WORKERS) > 0

    wait_for("kept spans", kept, timeout_s=KEPT_TIMEOUT_S)
    for worker in WORKERS:
        accounts = demo.accounts(worker)
        missing = unaccounted(accounts)
        assert missing == 0, f"{worker}: {missing} spans unaccounted for: {accounts}"
        _said(f"{worker}: {accounts['received']:,} spans, none unaccounted for")


def _through_the_gateway(demo: Demo) -> None:
    """Send a trace with an error as an application does; demand it back, kept."""
    trace_id = os.urandom(16)

    def sent() -> bool:
        try:
            demo.post("OTLP_HTTP_PORT", "/v1/traces", _failed_trace(trace_id))
        except NotAnsweredError:
            return False
        return True

    def republished() -> bool:
        key = trace_id.hex().encode()
        return any(record.key == key for record in read_whole(demo.bootstrap, OUTPUT))

    def shown() -> bool:
        try:
            found = demo.get_json("JAEGER_PORT", f"/api/traces/{trace_id.hex()}")
        except NotAnsweredError:
            return False
        return len(found["data"][0]["spans"]) == 1

    wait_for("the gateway to take a trace", sent, timeout_s=KEPT_TIMEOUT_S)
    wait_for("the trace in the output", republished, timeout_s=KEPT_TIMEOUT_S)
    _said("a trace with an error came through the Collector, and was kept")
    if demo.runs("jaeger") and demo.runs("export"):
        wait_for("the trace in Jaeger", shown, timeout_s=KEPT_TIMEOUT_S)
        _said("it is shown in Jaeger")


def _scraped(demo: Demo) -> None:
    query = "/api/v1/query?query=sum(up%7Bjob%3D%22tailstream%22%7D)"

    def both() -> bool:
        try:
            result = demo.get_json("PROMETHEUS_PORT", query)["data"]["result"]
        except NotAnsweredError:
            return False
        return bool(result) and int(result[0]["value"][1]) == len(WORKERS)

    wait_for("both workers in Prometheus", both, timeout_s=KEPT_TIMEOUT_S)
    rules = demo.get_json("PROMETHEUS_PORT", "/api/v1/rules")["data"]["groups"]
    assert rules, "Prometheus has no alerts"
    _said("Prometheus scrapes both workers and has the alerts")


def _dashboards(demo: Demo) -> None:
    wanted = len(list((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")))

    def all_there() -> bool:
        try:
            return len(demo.get_json("GRAFANA_PORT", "/api/search?type=dash-db")) == wanted
        except NotAnsweredError:
            return False

    wait_for(f"{wanted} dashboards in Grafana", all_there, timeout_s=KEPT_TIMEOUT_S)
    _said(f"Grafana has the {wanted} dashboards")


def _failed_trace(trace_id: bytes) -> bytes:
    now_ns = time.time_ns()
    span = Span(
        trace_id=trace_id,
        span_id=os.urandom(8),
        name="POST /checkout",
        start_time_unix_nano=now_ns - 5_000_000,
        end_time_unix_nano=now_ns,
        status=Status(code=Status.STATUS_CODE_ERROR),
    )
    resource = ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])
    return TracesData(resource_spans=[resource]).SerializeToString()


def _said(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
