"""The Helm chart: the manifests rendered from it, and its rendering where helm is there.

`python -m tests.harness.chart` (`make manifests`) renders them anew.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.harness.repository import ROOT

CHART: Final = ROOT / "deploy" / "helm" / "tailstream"
MANIFESTS: Final = ROOT / "deploy" / "manifests"
VARIANTS: Final[dict[str, str]] = {
    "statefulset": "",
    "deployment": "ci/deployment-values.yaml",
    "everything": "ci/everything-values.yaml",
}
"""Each rendered manifest, and the values that it is rendered with, the chart's own where none."""

REFUSED_BY_SCHEMA: Final[Sequence[tuple[dict[str, Any], str]]] = (
    ({"replica": 3}, "replica"),
    ({"storage": {"memory": "512MB"}}, "memory"),
    ({"kafka": {"sasl": {"mechanism": "GSSAPI"}}}, "mechanism"),
    ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds"),
    ({"settings": {"storage": {"memory": "2GiB"}}}, "storage"),
    ({"settings": {"worker": {"instance_id": "one"}}}, "instance_id"),
    ({"settings": {"topics": {"unkeyed": "spans"}}}, "unkeyed"),
    ({"rekey": {"topic": ""}}, "topic"),
)
"""Values that cannot work, and what a refusal has to name."""

REFUSED_BY_TEMPLATES: Final[Sequence[tuple[dict[str, Any], str]]] = (
    ({"autoscaling": {"enabled": True}, "staticMembership": True}, "staticMembership"),
    ({"kind": "Deployment", "staticMembership": True}, "staticMembership"),
    ({"kafka": {"sasl": {"mechanism": "PLAIN"}}}, "existingSecret"),
    ({"autoscaling": {"enabled": True, "minReplicas": 9}}, "minReplicas"),
    ({"kafka": {"tls": {"existingSecret": "certificates"}}}, "kafka.tls.enabled"),
    ({"kafka": {"tls": {"enabled": True, "certKey": "tls.crt"}}}, "existingSecret"),
    ({"kafka": {"sasl": {"existingSecret": "user"}}}, "kafka.sasl.mechanism"),
    (
        {"kafka": {"sasl": {"mechanism": "OAUTHBEARER"}}, "autoscaling": {"enabled": True}},
        "OAUTHBEARER",
    ),
    ({"settings": {"kafka": {"sasl.password": "hunter2"}}}, "sasl.password"),
    ({"settings": {"kafka": {"ssl.key.pem": "-----BEGIN"}}}, "ssl.key.pem"),
    ({"export": {"headers": {"authorization": "Bearer hunter2"}}}, "authorization"),
    (
        {"settings": {"exemplars": {"scrape": {"headers": {"Authorization": "Basic eA=="}}}}},
        "Authorization",
    ),
)
"""More of them: each value is right by itself."""

_HEAD: Final = (
    "# Rendered from deploy/helm/tailstream{values} by `make manifests`: edit that.\n"
    "# Chart: sha256:{digest}\n"
)
_NAMESPACE: Final = "tailstream"
_DIGEST_DIGITS: Final = 16


def manifest(variant: str) -> Path:
    """Return where a rendered manifest is."""
    return MANIFESTS / f"{variant}.yaml"


def objects(variant: str) -> list[dict[str, Any]]:
    """Return the Kubernetes objects of a rendered manifest."""
    return [tree for tree in yaml.safe_load_all(manifest(variant).read_text()) if tree]


def container(workload: dict[str, Any]) -> dict[str, Any]:
    """Return the one container of a workload's pods."""
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment(workload: dict[str, Any]) -> dict[str, str]:
    """Return a container's environment; what comes from a secret or the pod is its name."""
    given = {each["name"]: each.get("value", each["name"]) for each in container(workload)["env"]}
    return {"HOSTNAME": "host"} | given


def head(variant: str) -> str:
    """Return how a manifest begins: it says of which chart it was rendered.

    So that one that is out of date is seen also where there is no helm.
    """
    values = VARIANTS[variant]
    digest = hashlib.sha256()
    for part in _parts(values):
        digest.update(part.encode() + b"\0")
    return _HEAD.format(
        values=f" with {values}" if values else "", digest=digest.hexdigest()[:_DIGEST_DIGITS]
    )


def helm() -> str | None:
    """Return the helm to run: the one that HELM names, else the one in the PATH."""
    return os.environ.get("HELM") or shutil.which("helm")


def rendered(program: str, variant: str) -> str:
    """Return a manifest as it would be rendered now; RuntimeError with what helm says."""
    values = VARIANTS[variant]
    more = ["--values", str(CHART / values)] if values else []
    command = [program, "template", "tailstream", str(CHART), "--namespace", _NAMESPACE, *more]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    return head(variant) + ended.stdout


def _parts(values: str) -> Iterator[str]:
    """Yield all that decides what is rendered; of values what they say, not how they are written.

    The alerts are not among them: the rendered ones are compared with them as they are.
    """
    for name in ("Chart.yaml", "values.yaml", *([values] if values else [])):
        yield json.dumps(yaml.safe_load((CHART / name).read_text()), sort_keys=True)
    for path in sorted((CHART / "templates").iterdir()):
        if path.name != "NOTES.txt":
            yield path.name
            yield path.read_text()


def _render_all() -> int:
    program = helm()
    if program is None:
        print("There is no helm here: https://helm.sh, or `python -m tests.kubernetes --render`.")
        return 2
    MANIFESTS.mkdir(exist_ok=True)
    for variant in VARIANTS:
        manifest(variant).write_text(rendered(program, variant))
        print(f"written: {manifest(variant).relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(_render_all())
