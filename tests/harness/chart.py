"""The Helm chart: the manifests rendered from it, and its rendering where helm is there.

`python -m tests.harness.chart` (`make manifests`) renders them anew.
"""

import os
import shutil
import subprocess
import sys
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

_HEAD: Final = "# Rendered from deploy/helm/tailstream{values} by `make manifests`: edit that.\n"
_NAMESPACE: Final = "tailstream"


def manifest(variant: str) -> Path:
    """Return where a rendered manifest is."""
    return MANIFESTS / f"{variant}.yaml"


def objects(variant: str) -> list[dict[str, Any]]:
    """Return the Kubernetes objects of a rendered manifest."""
    return [tree for tree in yaml.safe_load_all(manifest(variant).read_text()) if tree]


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
    return _HEAD.format(values=f" with {values}" if values else "") + ended.stdout


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
