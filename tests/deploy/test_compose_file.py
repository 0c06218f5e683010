"""docker-compose.yml: what can be known of the demo without an engine."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.start import needs_of
from tests.harness.command_line import parsed
from tests.harness.compose import (
    FILE,
    mounted_file,
    mounts,
    ours,
    services,
    settings_of_service,
)
from tests.harness.kafka_jars import kafka_version
from tests.harness.repository import ROOT

WORKERS = ("worker-1", "worker-2")
HAVE_PAGES = ("worker", "exemplars", "export", "rekey")


def names() -> list[str]:
    return sorted(services())


def port_pairs(service: dict[str, Any]) -> list[tuple[int, int]]:
    """Return (port here, port in the container) of what a service publishes."""
    return [
        (int(here), int(inside))
        for _, here, inside in (port.split(":") for port in service.get("ports", ()))
    ]


def prometheus_config() -> str:
    """Return where Prometheus finds its configuration."""
    option: str = services()["prometheus"]["command"][0]
    return option.removeprefix("--config.file=")


def prometheus_tree() -> dict[str, Any]:
    path = mounted_file(services()["prometheus"], prometheus_config())
    tree: dict[str, Any] = yaml.safe_load(path.read_text())
    return tree


def scraped() -> list[str]:
    """Return the host:port of everything that Prometheus scrapes."""
    return [
        target
        for job in prometheus_tree()["scrape_configs"]
        for config in job["static_configs"]
        for target in config["targets"]
    ]


def test_the_compose_file_meets_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*check, str(FILE)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", names())
def test_every_image_is_pinned_by_version(name: str) -> None:
    image = services()[name]["image"]
    assert image == "tailstream:demo" or re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", image)


@pytest.mark.parametrize("name", names())
def test_every_mounted_file_is_in_the_repository(name: str) -> None:
    volumes = set(yaml.safe_load(FILE.read_text())["volumes"])
    sources = set(mounts(services()[name]).values()) - volumes
    assert not [source for source in sources if not (ROOT / source).exists()]


def test_the_demo_listens_on_this_machine_only_and_each_port_is_one_services() -> None:
    published = [port for service in services().values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    here = [pair[0] for service in services().values() for pair in port_pairs(service)]
    assert len(here) == len(set(here))


@pytest.mark.parametrize("name", sorted(ours()))
def test_every_command_of_ours_is_one_that_tailstream_takes(name: str) -> None:
    assert parsed(ours()[name]["command"]) is not None


@pytest.mark.parametrize("name", sorted(ours()))
def test_every_service_of_ours_runs_with_settings_that_are_right(name: str) -> None:
    assert settings_of_service(name).kafka["bootstrap.servers"] == "kafka:9092"


def test_each_worker_has_a_slot_and_a_volume_of_its_own() -> None:
    slots = {settings_of_service(name).worker.instance_id for name in WORKERS}
    assert slots == set(WORKERS)
    directory = str(settings_of_service("worker-1").storage.directory.parent)
    assert {mounts(services()[name])[directory] for name in WORKERS} == set(WORKERS)


def test_a_workers_pages_are_where_its_health_check_its_port_and_prometheus_ask_for_them() -> None:
    for name in WORKERS:
        web = settings_of_service(name).web
        assert web.host == "0.0.0.0"
        assert f"{name}:{web.port}" in scraped()
        assert [inside for _, inside in port_pairs(services()[name])] == [web.port]
        assert f"http://127.0.0.1:{web.port}/readyz" in services()[name]["healthcheck"]["test"][-1]


def test_what_has_pages_is_asked_whether_it_is_ready_and_is_scraped() -> None:
    with_pages = {name for name, service in ours().items() if service["command"][0] in HAVE_PAGES}
    assert with_pages == {*WORKERS, "exemplars", "export"}
    for name in with_pages:
        web = settings_of_service(name).web
        assert f"http://127.0.0.1:{web.port}/readyz" in services()[name]["healthcheck"]["test"][-1]
        assert f"{name}:{web.port}" in scraped()


def test_the_job_of_a_group_scrapes_its_workers_alone() -> None:
    jobs = {
        job["job_name"]: {target for each in job["static_configs"] for target in each["targets"]}
        for job in prometheus_tree()["scrape_configs"]
    }
    assert jobs["tailstream"] == {f"{name}:6066" for name in WORKERS}


def test_prometheus_scrapes_no_service_that_is_not_there_and_reads_rules_that_are_mounted() -> None:
    prometheus = services()["prometheus"]
    assert {target.rpartition(":")[0] for target in scraped()} <= set(services())
    place = Path(prometheus_config()).parent
    rules = {str(place / rules) for rules in prometheus_tree()["rule_files"]}
    assert rules <= set(mounts(prometheus))
    assert "--enable-feature=exemplar-storage" in prometheus["command"]


def test_nothing_that_needs_the_topics_starts_before_they_are_made() -> None:
    reads_or_writes = (set(ours()) | {"collector"}) - {"topics"}
    for name in reads_or_writes:
        condition = services()[name]["depends_on"]["topics"]["condition"]
        assert condition == "service_completed_successfully", name
    assert services()["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert services()["topics"]["restart"] == "no"
    made = needs_of(settings_of_service("topics"), beside=True).all_roles()
    read = settings_of_service("exemplars").topics.metrics
    assert made["metrics"] == read


def test_whoever_is_waited_for_until_healthy_has_a_health_check() -> None:
    waited_for = {
        other
        for service in services().values()
        for other, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert waited_for
    assert all("test" in services()[name]["healthcheck"] for name in waited_for)


def test_one_service_builds_the_image_and_the_others_never_pull_it() -> None:
    builds = [name for name, service in services().items() if "build" in service]
    assert builds == ["topics"]
    assert {ours()[name]["pull_policy"] for name in ours() if name not in builds} == {"never"}
    assert len({service["image"] for service in ours().values()}) == 1


def test_the_broker_is_the_release_that_the_tests_run_against() -> None:
    assert services()["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


def test_the_gateway_writes_keyed_to_the_topics_that_the_workers_read() -> None:
    (option,) = services()["collector"]["command"]
    path = option.removeprefix("--config=")
    tree = yaml.safe_load(mounted_file(services()["collector"], path).read_text())
    kafka = tree["exporters"]["kafka"]
    settings = settings_of_service("worker-1")
    assert kafka["partition_traces_by_id"] is True
    assert kafka["traces"] == {"topic": settings.topics.input, "encoding": "otlp_proto"}
    assert kafka["metrics"] == {"topic": settings.topics.metrics, "encoding": "otlp_proto"}
    assert kafka["brokers"] == [settings.kafka["bootstrap.servers"]]


def test_kept_traces_go_to_a_service_that_is_there() -> None:
    endpoint = settings_of_service("export").export.endpoint
    assert re.fullmatch(r"http://(\w+):4318", endpoint)
    assert endpoint.split("/")[-1].partition(":")[0] in services()


def test_what_runs_our_image_has_no_rights_that_it_does_not_need() -> None:
    for service in ours().values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
