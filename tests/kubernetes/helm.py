"""helm, run on the chart with values of a test's own."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.harness.chart import CHART


@dataclass(frozen=True)
class Helm:
    """The helm that is there, and where its values are written."""

    program: str
    directory: Path

    def template(
        self, values: dict[str, Any], release: str = "x"
    ) -> "subprocess.CompletedProcess[str]":
        """Return how helm ended with these values."""
        path = self.directory / "values.yaml"
        path.write_text(yaml.safe_dump(values))
        command = [self.program, "template", release, str(CHART), "--values", str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def objects(self, values: dict[str, Any], release: str = "x") -> list[dict[str, Any]]:
        """Return the objects rendered with these values."""
        ended = self.template(values, release)
        assert not ended.returncode, ended.stderr
        return [tree for tree in yaml.safe_load_all(ended.stdout) if tree]
