"""What helm makes of the chart, and what it refuses."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness.chart import (
    CHART,
    REFUSED_BY_SCHEMA,
    REFUSED_BY_TEMPLATES,
    VARIANTS,
    container,
    environment,
    manifest,
    rendered,
)
from tests.harness.command_line import settings_of
from tests.kubernetes.helm import Helm


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_manifest_is_what_the_chart_renders_now(helm: Helm, variant: str) -> None:
    assert manifest(variant).read_text() == rendered(helm.program, variant), "make manifests"


@pytest.mark.parametrize("values", [values for values in VARIANTS.values() if values])
def test_helm_finds_nothing_wrong_with_the_chart(helm: Helm, values: str) -> None:
    command = [helm.program, "lint", "--strict", str(CHART), "--values", str(CHART / values)]
    linted = subprocess.run(command, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(("values", "says"), [*REFUSED_BY_SCHEMA, *REFUSED_BY_TEMPLATES])
def test_values_that_cannot_work_are_refused_by_helm(
    helm: Helm, values: dict[str, Any], says: str
) -> None:
    refused = helm.template(values)
    assert refused.returncode
    assert says in refused.stderr


def test_names_that_look_like_numbers_stay_names(helm: Helm) -> None:
    values = {
        "nameOverride": "12",
        "fullnameOverride": "34",
        "group": "56",
        "settings": {"topics": {"input": "7"}},
        "kafka": {
            "tls": {"enabled": True, "existingSecret": "8", "caKey": "9"},
            "sasl": {
                "mechanism": "PLAIN",
                "existingSecret": "10",
                "usernameKey": "1",
                "passwordKey": "2",
            },
        },
        "storage": {"storageClassName": "5"},
        "priorityClassName": "3",
        "serviceAccount": {"name": "4"},
        "topics": {"create": True},
        "exemplars": {"enabled": True},
        "export": {"enabled": True},
        "networkPolicy": {"enabled": True},
        "podMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "autoscaling": {"enabled": True},
    }
    for one in helm.objects(values, release="123"):
        assert strings_that_are_none(one) == [], one["kind"]


def test_topics_are_made_beside_the_workers_that_wait_for_them(helm: Helm) -> None:
    # A hook would run after `helm --wait` has waited for workers that wait for the topics.
    job = only(helm.objects({"topics": {"create": True}}), "Job")
    other = only(helm.objects({"topics": {"create": True, "partitions": 9}}), "Job")
    assert "helm.sh/hook" not in job["metadata"].get("annotations", {})
    # What a Job runs cannot be changed, so another one is made.
    assert job["metadata"]["name"] != other["metadata"]["name"]
    assert len(job["metadata"]["name"]) <= 63


def test_oauth_is_told_by_its_mechanism_and_a_secret(helm: Helm, tmp_path: Path) -> None:
    endpoint = "https://login.example.com/token"
    values = {
        "kafka": {
            "tls": {"enabled": True},
            "sasl": {"mechanism": "OAUTHBEARER", "existingSecret": "client"},
        },
        "settings": {"kafka": {"sasl.oauthbearer.token.endpoint.url": endpoint}},
        "networkPolicy": {"enabled": True},
    }
    made = helm.objects(values)
    path = tmp_path / "tailstream.yaml"
    path.write_text(only(made, "ConfigMap")["data"]["tailstream.yaml"])
    worker = only(made, "StatefulSet")
    read = settings_of(container(worker)["args"], path, environment(worker)).kafka
    assert read["security.protocol"] == "SASL_SSL"
    assert read["sasl.mechanisms"] == "OAUTHBEARER"
    assert read["sasl.oauthbearer.client.secret"] == "KAFKA_PASSWORD"
    assert (443 in egress(only(made, "NetworkPolicy"))) is True


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://[fd00::1]:4318/v1/traces", 4318),
        ("https://[fd00::1]/v1/traces", 443),
        ("http://tempo/x:55", 80),
        ("https://tempo.example.com:8443?a=b:1", 8443),
    ],
)
def test_the_network_lets_the_export_through_to_its_backend(
    endpoint: str, port: int, helm: Helm
) -> None:
    values = {
        "networkPolicy": {"enabled": True},
        "export": {"enabled": True, "endpoint": endpoint},
    }
    assert egress(only(helm.objects(values), "NetworkPolicy", "-export")) == {port}


def test_the_network_lets_the_exemplars_through_to_what_they_ask(helm: Helm) -> None:
    asked = {
        "prometheus": {"url": "http://prometheus:9090", "queries": ["a"]},
        "scrape": {"urls": ["http://shop:8080/metrics", "https://gateway/metrics"]},
    }
    values = {
        "networkPolicy": {"enabled": True},
        "exemplars": {"enabled": True},
        "settings": {"exemplars": asked},
    }
    policy = only(helm.objects(values), "NetworkPolicy", "-exemplars")
    assert egress(policy) == {9090, 8080, 443}


def test_headers_of_the_export_are_text_whatever_they_look_like(helm: Helm, tmp_path: Path) -> None:
    headers = {"X-A": "true", "X-B": "a: b", "X-C": "12", "X-D": "Bearer {x", "X-E": "'\""}
    made = helm.objects({"export": {"enabled": True, "headers": headers}})
    path = tmp_path / "tailstream.yaml"
    path.write_text(only(made, "ConfigMap")["data"]["tailstream.yaml"])
    export = only(made, "Deployment", "-export")
    read = settings_of(container(export)["args"], path, environment(export))
    assert dict(read.export.headers) == headers


def test_brokers_may_be_named_by_their_addresses_of_ip_version_6(helm: Helm) -> None:
    servers = "[fd00::1]:9093,[fd00::2]:9094"
    values = {"kafka": {"bootstrapServers": servers}, "networkPolicy": {"enabled": True}}
    assert {9093, 9094} <= egress(only(helm.objects(values), "NetworkPolicy"))


def only(made: list[dict[str, Any]], kind: str, ends: str = "") -> dict[str, Any]:
    (found,) = [
        one for one in made if one["kind"] == kind and one["metadata"]["name"].endswith(ends)
    ]
    return found


def strings_that_are_none(tree: Any, path: str = "") -> list[str]:
    """Return where Kubernetes wants text, and numbers or booleans stand."""
    if isinstance(tree, list):
        return [bad for one in tree for bad in strings_that_are_none(one, path)]
    if not isinstance(tree, dict):
        return []
    names = {"name", "key", "secretName", "storageClassName", "priorityClassName", "topic"}
    names |= {"consumerGroup", "serviceName", "serviceAccountName"}
    texts = path.endswith(("labels", "matchLabels", "selector"))
    bad = [
        f"{path}.{key}"
        for key, value in tree.items()
        if (key in names or (texts and not isinstance(value, dict))) and not isinstance(value, str)
    ]
    return bad + [
        bad for key, value in tree.items() for bad in strings_that_are_none(value, f"{path}.{key}")
    ]


def egress(policy: dict[str, Any]) -> set[int]:
    return {each["port"] for rule in policy["spec"]["egress"] for each in rule["ports"]}
