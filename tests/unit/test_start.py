"""What a worker says and serves before it runs."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from stream.settings.load import checked, load
from stream.settings.template import template
from stream.start import metrics_of, needs_of, waits_for
from stream.web import waiting_pages
from tests.harness.ports import free_ports


def get(port: int, page: str, accept: str = "") -> tuple[int, str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{page}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.headers["Content-Type"], refused.read().decode()


def test_a_worker_that_waits_is_alive_and_not_ready_for_a_reason_and_counts_from_nothing() -> None:
    (port,) = free_ports(1)

    with waiting_pages("127.0.0.1", port, metrics_of(checked({})), "another has the slot"):
        alive, ready, none = (get(port, page) for page in ("/livez", "/readyz?full", "/other"))
        plain = get(port, "/metrics")
        openmetrics = get(port, "/metrics", "application/openmetrics-text; version=1.0.0")

    assert alive[::2] == (200, "ok\n")
    assert ready[::2] == (503, "another has the slot\n")
    assert none[0] == 404
    assert "tailstream_spans_received_total 0.0\n" in plain[2]
    assert "tailstream_build_info{" in plain[2]
    assert "tailstream_decision_wait_seconds 30.0\n" in plain[2]
    assert 'tailstream_budget_bytes{where="memory"} 5.36870912e+08\n' in plain[2]
    assert "process_cpu_seconds_total " in plain[2]
    assert openmetrics[1].startswith("application/openmetrics-text")
    assert openmetrics[2].endswith("# EOF\n")


def test_the_port_is_free_again_for_the_worker_s_own_pages() -> None:
    (port,) = free_ports(1)

    for why in ("first", "second"):
        with waiting_pages("127.0.0.1", port, metrics_of(checked({})), why):
            assert get(port, "/readyz")[2] == f"{why}\n"


@pytest.mark.parametrize(
    ("settings", "why", "longest"),
    [
        ({}, "this slot's last one, too", "worker.session_timeout (10s)"),
        (
            {"worker": {"static_membership": True, "session_timeout": "1m"}},
            "not this slot's own",
            "worker.session_timeout (1m)",
        ),
        ({"kafka": {"group.protocol": "consumer"}}, "too", "group.consumer.session.timeout.ms"),
    ],
)
def test_the_start_says_whom_the_group_may_wait_for_and_for_how_long(
    settings: dict[str, object], why: str, longest: str
) -> None:
    told, at_most = waits_for(checked(settings))

    assert why in told
    assert longest in at_most


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ({}, {}),
        ({"exemplars": {"ttl": "1m"}}, {"metrics": "otlp_metrics"}),
        ({"topics": {"metrics": "ours"}}, {"metrics": "ours"}),
        ({"topics": {"metrics": "ours"}, "exemplars": {"kafka": False}}, {}),
        ({"topics": {"unkeyed": "raw"}}, {"unkeyed": "raw"}),
    ],
)
def test_topics_beside_the_workers_are_those_that_the_settings_speak_of(
    written: dict[str, dict[str, object]], wanted: dict[str, str]
) -> None:
    settings = checked({**written, "decisions": {"retention": "2m"}})
    needs = needs_of(settings, beside=True)
    assert needs.beside() == wanted
    assert needs.decisions_retention_ms == 120_000
    assert needs_of(settings).all_roles() == needs.roles(), "a worker asks for its own alone"


def test_the_file_that_init_writes_speaks_of_exemplars(tmp_path: Path) -> None:
    path = tmp_path / "tailstream.yaml"
    path.write_text(template())
    assert needs_of(load(path, (), {}), beside=True).metrics
