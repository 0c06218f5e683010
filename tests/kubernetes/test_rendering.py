"""What helm makes of the chart, and what it refuses."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.chart import (
    CHART,
    REFUSED_BY_SCHEMA,
    REFUSED_BY_TEMPLATES,
    VARIANTS,
    manifest,
    rendered,
)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_manifest_is_what_the_chart_renders_now(program: str, variant: str) -> None:
    assert manifest(variant).read_text() == rendered(program, variant), "make manifests"


@pytest.mark.parametrize("values", [values for values in VARIANTS.values() if values])
def test_helm_finds_nothing_wrong_with_the_chart(program: str, values: str) -> None:
    command = [program, "lint", "--strict", str(CHART), "--values", str(CHART / values)]
    linted = subprocess.run(command, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(("values", "says"), [*REFUSED_BY_SCHEMA, *REFUSED_BY_TEMPLATES])
def test_values_that_cannot_work_are_refused_by_helm(
    program: str, values: dict[str, Any], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    command = [program, "template", "x", str(CHART), "--values", str(path)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode
    assert says in refused.stderr
