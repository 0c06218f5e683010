"""deploy/helm and deploy/manifests: what can be known of them without a cluster."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.settings.load import load
from stream.settings.model import Settings
from stream.start import needs_of
from tests.harness.chart import (
    CHART,
    REFUSED_BY_SCHEMA,
    VARIANTS,
    container,
    environment,
    head,
    manifest,
    objects,
)
from tests.harness.command_line import parsed, settings_of
from tests.harness.repository import ROOT

MEBIBYTE = 1 << 20
ABOVE_BUDGET = 150 * MEBIBYTE
COMPONENT = "app.kubernetes.io/component"
OPERATORS = {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule"}

every_variant = pytest.mark.parametrize("variant", VARIANTS)


def of_kind(variant: str, *kinds: str) -> list[dict[str, Any]]:
    return [each for each in objects(variant) if each["kind"] in kinds]


def workloads(variant: str) -> list[dict[str, Any]]:
    """Return the objects that have pods."""
    return of_kind(variant, "StatefulSet", "Deployment", "Job")


def workers(variant: str) -> dict[str, Any]:
    (found,) = [each for each in workloads(variant) if container(each)["name"] == "worker"]
    return found


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def settings(variant: str, workload: dict[str, Any], directory: Path) -> Settings:
    """Return what a container's command would run with, its ConfigMap laid where it is mounted."""
    (config,) = of_kind(variant, "ConfigMap")
    path = directory / "tailstream.yaml"
    path.write_text(config["data"]["tailstream.yaml"])
    return settings_of(container(workload)["args"], path, environment(workload))


def mebibytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]  # else the test fails
    return int(number) * (1024 if unit == "Gi" else 1)


def checked_by_the_schema(values: Path) -> "subprocess.CompletedProcess[str]":
    schema = str(CHART / "values.schema.json")
    check = [sys.executable, "-m", "check_jsonschema", "--schemafile", schema, str(values)]
    return subprocess.run(check, capture_output=True, text=True, check=False)


@every_variant
def test_a_manifest_was_rendered_from_the_chart_as_it_is(variant: str) -> None:
    # That helm makes just this of it: tests/kubernetes.
    assert manifest(variant).read_text().startswith(head(variant)), "make manifests"


@every_variant
def test_every_template_has_a_part_in_what_is_rendered_with_everything_on(variant: str) -> None:
    sources = set(
        re.findall(r"^# Source: tailstream/(.+)$", manifest(variant).read_text(), re.MULTILINE)
    )
    made = {f"templates/{path.name}" for path in (CHART / "templates").glob("*.yaml")}
    assert sources <= made
    assert variant != "everything" or sources == made


@pytest.mark.parametrize(("wrong", "says"), REFUSED_BY_SCHEMA)
def test_values_that_cannot_work_are_refused_by_the_schema(
    wrong: dict[str, Any], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "values.json"
    path.write_text(json.dumps(wrong))
    refused = checked_by_the_schema(path)
    assert refused.returncode
    assert says in refused.stdout


@pytest.mark.parametrize("values", ["values.yaml", *(name for name in VARIANTS.values() if name)])
def test_values_meet_their_schema(values: str) -> None:
    checked = checked_by_the_schema(CHART / values)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_schema_knows_every_value_and_every_section_of_the_settings() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def unknown(tree: dict[str, Any], part: dict[str, Any]) -> list[str]:
        known = part.get("properties")
        if known is None:
            return []
        below = [(name, value) for name, value in tree.items() if isinstance(value, dict)]
        wrong = [name for name in tree if name not in known]
        return wrong + [
            each for name, value in below if name in known for each in unknown(value, known[name])
        ]

    assert not unknown(values, schema)
    sections = {field.alias or name for name, field in Settings.model_fields.items()}
    assert set(schema["properties"]["settings"]["properties"]) == sections - {"web"}  # the chart's


def test_the_chart_is_of_the_release_that_it_installs() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert chart["appVersion"] == re.findall(r'^version = "(.+)"$', project, re.MULTILINE)[0]


@every_variant
def test_every_command_runs_with_settings_that_are_right(variant: str, tmp_path: Path) -> None:
    for workload in workloads(variant):
        assert parsed(container(workload)["args"]) is not None
        assert settings(variant, workload, tmp_path).web.host == "0.0.0.0"


@every_variant
def test_a_worker_is_given_the_memory_of_its_budget_and_150_mib(
    variant: str, tmp_path: Path
) -> None:
    worker = workers(variant)
    budget = settings(variant, worker, tmp_path).storage.memory_bytes
    resources = container(worker)["resources"]
    for kind in ("requests", "limits"):
        given = mebibytes(resources[kind]["memory"]) * MEBIBYTE
        assert given == budget + ABOVE_BUDGET


@every_variant
def test_a_worker_may_write_to_its_volume_and_the_volume_holds_its_disk(
    variant: str, tmp_path: Path
) -> None:
    worker = workers(variant)
    read = settings(variant, worker, tmp_path).storage
    places = {mount["mountPath"]: mount["name"] for mount in container(worker)["volumeMounts"]}
    assert places[str(read.directory.parent)] == "storage"
    claims = worker["spec"].get("volumeClaimTemplates", [])
    size = (
        claims[0]["spec"]["resources"]["requests"]["storage"]
        if claims
        else next(v for v in pod(worker)["volumes"] if v["name"] == "storage")["emptyDir"][
            "sizeLimit"
        ]
    )
    assert mebibytes(size) * MEBIBYTE > read.disk_bytes


@every_variant
def test_static_members_are_workers_of_a_fixed_stateful_set_only(
    variant: str, tmp_path: Path
) -> None:
    worker = workers(variant)
    fixed = worker["kind"] == "StatefulSet" and "replicas" in worker["spec"]
    assert settings(variant, worker, tmp_path).worker.static_membership is fixed
    for companion in of_kind(variant, "Deployment"):
        if container(companion)["name"] != "worker":
            assert not settings(variant, companion, tmp_path).worker.static_membership


@every_variant
def test_every_pod_is_its_own_slot(variant: str) -> None:
    (name,) = [each for each in container(workers(variant))["env"] if each["name"] == "HOSTNAME"]
    assert name["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


@every_variant
def test_a_worker_is_asked_whether_it_lives_only_when_it_has_restored_and_stops_in_time(
    variant: str, tmp_path: Path
) -> None:
    worker = workers(variant)
    asked = container(worker)
    port = settings(variant, worker, tmp_path).web.port
    assert asked["ports"] == [{"name": "metrics", "containerPort": port}]
    paths = {kind: asked[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness")}
    assert set(paths.values()) == {"/readyz"}
    assert asked["livenessProbe"]["httpGet"]["path"] == "/livez"
    start = asked["startupProbe"]
    assert start["failureThreshold"] * start["periodSeconds"] >= 600
    grace_s = pod(worker)["terminationGracePeriodSeconds"]
    assert grace_s > settings(variant, worker, tmp_path).worker.transaction_timeout_s


@every_variant
def test_what_runs_until_it_is_stopped_is_asked_on_its_own_pages(
    variant: str, tmp_path: Path
) -> None:
    for workload in of_kind(variant, "StatefulSet", "Deployment"):
        asked = container(workload)
        port = settings(variant, workload, tmp_path).web.port
        assert asked["ports"] == [{"name": "metrics", "containerPort": port}], asked["name"]
        assert asked["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        for kind in ("startup", "readiness"):
            assert asked[f"{kind}Probe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}


def test_all_that_has_pages_is_scraped_where_the_operator_for_it_is_there() -> None:
    monitors = of_kind("everything", "PodMonitor")
    components = {each["metadata"]["labels"][COMPONENT] for each in monitors}
    running = of_kind("everything", "StatefulSet", "Deployment")
    assert components == {container(each)["name"] for each in running}


@every_variant
def test_no_pod_has_rights_that_it_does_not_need(variant: str) -> None:
    for workload in workloads(variant):
        assert pod(workload)["securityContext"]["runAsNonRoot"] is True
        assert pod(workload)["automountServiceAccountToken"] is False
        assert container(workload)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@every_variant
def test_what_is_mounted_is_a_volume_of_the_pod(variant: str) -> None:
    for workload in workloads(variant):
        claims = workload["spec"].get("volumeClaimTemplates", [])
        volumes = {volume["name"] for volume in pod(workload).get("volumes", ())}
        volumes |= {claim["metadata"]["name"] for claim in claims}
        assert {mount["name"] for mount in container(workload)["volumeMounts"]} <= volumes


@every_variant
def test_whoever_selects_pods_selects_those_of_its_component(variant: str) -> None:
    pods = {
        container(each)["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in workloads(variant)
    }
    for each in of_kind(variant, "Service", "PodDisruptionBudget", "PodMonitor"):
        selector = each["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        component = each["metadata"]["labels"][COMPONENT]
        assert wanted.items() <= pods[component].items(), each["kind"]
    for workload in of_kind(variant, "StatefulSet", "Deployment"):
        wanted = workload["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= pods[container(workload)["name"]].items()


@every_variant
def test_a_change_of_the_settings_rolls_the_pods(variant: str) -> None:
    for workload in of_kind(variant, "StatefulSet", "Deployment"):
        annotations = workload["spec"]["template"]["metadata"]["annotations"]
        assert re.fullmatch(r"[0-9a-f]{64}", annotations["checksum/settings"])


def test_without_operators_only_kinds_of_kubernetes_itself_are_used() -> None:
    for variant in ("statefulset", "deployment"):
        assert not of_kind(variant, *OPERATORS)
    assert {each["kind"] for each in of_kind("everything", *OPERATORS)} == OPERATORS


def test_workers_are_scaled_on_the_lag_of_the_position_and_go_one_by_one(tmp_path: Path) -> None:
    (scaled,) = of_kind("everything", "ScaledObject")
    read = settings("everything", workers("everything"), tmp_path)
    (trigger,) = scaled["spec"]["triggers"]
    metadata = trigger["metadata"]
    assert metadata["consumerGroup"] == f"{read.worker.group}-position"
    assert metadata["topic"] == read.topics.input
    assert metadata["bootstrapServers"] == read.kafka["bootstrap.servers"]
    assert metadata["ensureEvenDistributionOfPartitions"] == "true"
    assert scaled["spec"]["minReplicaCount"] >= 1
    behavior = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300
    assert [policy["value"] for policy in behavior["scaleDown"]["policies"]] == [1]
    assert "replicas" not in workers("everything")["spec"], "two would scale it"
    assert scaled["spec"]["scaleTargetRef"]["name"] == workers("everything")["metadata"]["name"]


def test_secrets_are_named_in_the_manifests_and_never_written_there(tmp_path: Path) -> None:
    worker = workers("everything")
    read = settings("everything", worker, tmp_path)
    assert read.kafka["security.protocol"] == "SASL_SSL"
    assert read.kafka["sasl.password"] == "KAFKA_PASSWORD"  # the variable's name stands for it
    secret = {each["name"]: each.get("valueFrom") for each in container(worker)["env"]}
    assert "secretKeyRef" in secret["KAFKA_PASSWORD"]
    (config,) = of_kind("everything", "ConfigMap")
    assert "${env:KAFKA_PASSWORD}" in config["data"]["tailstream.yaml"]
    tls = {m["mountPath"] for m in container(worker)["volumeMounts"] if m["name"] == "tls"}
    assert {str(Path(str(read.kafka["ssl.ca.location"])).parent)} == tls
    (export,) = [each for each in workloads("everything") if container(each)["name"] == "export"]
    assert (
        '--set=export.headers.Authorization="Bearer ${env:BACKEND_TOKEN}"'
        in container(export)["args"]
    )


def test_every_pod_is_given_the_workers_secrets_for_kafka() -> None:
    def secrets(workload: dict[str, Any]) -> tuple[Any, ...]:
        asked = container(workload)
        named = [each for each in asked["env"] if each["name"].startswith("KAFKA_")]
        (mounted,) = [each for each in asked["volumeMounts"] if each["name"] == "tls"]
        (volume,) = [each for each in pod(workload)["volumes"] if each["name"] == "tls"]
        return named, mounted, volume

    wanted = secrets(workers("everything"))
    assert len(wanted[0]) == 2
    for workload in workloads("everything"):
        assert secrets(workload) == wanted, container(workload)["name"]


def test_beside_the_workers_nothing_runs_unless_it_is_asked_for() -> None:
    running = [container(each)["name"] for each in workloads("statefulset")]
    assert running == ["worker"]
    everything = {container(each)["name"] for each in workloads("everything")}
    assert everything == {"worker", "export", "rekey", "exemplars", "topics"}


def test_the_topics_that_are_made_are_all_that_any_command_reads(tmp_path: Path) -> None:
    (job,) = of_kind("everything", "Job")
    made = needs_of(settings("everything", job, tmp_path), beside=True).all_roles()
    assert made.keys() == {
        *("input", "output", "decisions", "dead_letters", "metrics", "unkeyed"),
    }
    for workload in workloads("everything"):
        read = settings("everything", workload, tmp_path).topics
        assert made == {role: getattr(read, role) for role in made}


def test_rekey_reads_the_topic_that_is_named_and_writes_the_workers_input(tmp_path: Path) -> None:
    (rekey,) = [each for each in workloads("everything") if container(each)["name"] == "rekey"]
    values = yaml.safe_load((CHART / VARIANTS["everything"]).read_text())
    read = settings("everything", rekey, tmp_path).topics
    assert read.unkeyed == values["rekey"]["topic"]
    assert read.input == settings("everything", workers("everything"), tmp_path).topics.input


def test_the_alerts_in_the_cluster_are_the_alerts() -> None:
    (rule,) = of_kind("everything", "PrometheusRule")
    alerts = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text())
    assert rule["spec"] == alerts


def test_the_network_lets_through_kafka_the_backend_names_and_scrapes_and_nothing_else() -> None:
    policies = of_kind("everything", "NetworkPolicy")
    ports = {
        (direction, each["port"])
        for policy in policies
        for direction in ("ingress", "egress")
        for rule in policy["spec"].get(direction, ())
        for each in rule["ports"]
    }
    assert ports == {("ingress", "metrics"), ("egress", 53), ("egress", 9093), ("egress", 443)}


def test_the_default_policies_of_the_chart_are_those_of_the_program(tmp_path: Path) -> None:
    read = settings("statefulset", workers("statefulset"), tmp_path)
    assert read.policies_hash() == load(None, (), {}).policies_hash()
