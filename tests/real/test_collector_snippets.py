"""What we tell to write into a Collector's file, and write ourselves, a real Collector takes."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.harness.repository import ROOT

pytestmark = pytest.mark.real

README: Final = ROOT / "README.md"
OURS: Final = ROOT / "deploy" / "compose" / "collector.yaml"
KINDS: Final = ("receivers", "exporters")
OTLP: Final = {"otlp": {"protocols": {"http": {"endpoint": "127.0.0.1:0"}}}}


def snippets() -> list[dict[str, Any]]:
    """Return each YAML of the README that configures a Collector's receivers or exporters."""
    found = re.findall(r"^```yaml\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    trees = [yaml.safe_load(text) for text in found]
    return [tree for tree in trees if isinstance(tree, dict) and tree.keys() & {*KINDS}]


def test_there_is_something_to_check() -> None:
    assert any("kafka" in tree.get("exporters", {}) for tree in snippets())


@pytest.mark.parametrize("snippet", snippets(), ids="-".join)
def test_a_collector_takes_each_snippet_as_it_stands(
    collector: Path, tmp_path: Path, snippet: dict[str, Any]
) -> None:
    whole = {
        "receivers": snippet.get("receivers", OTLP),
        "exporters": snippet.get("exporters", {"file": {"path": str(tmp_path / "out")}}),
    }
    pipeline = {kind: [*whole[kind]] for kind in KINDS}
    config = tmp_path / "collector.yaml"
    config.write_text(yaml.safe_dump({**whole, "service": {"pipelines": {"traces": pipeline}}}))
    is_taken(collector, config)


def test_a_collector_takes_the_file_of_our_compose_demo(collector: Path) -> None:
    is_taken(collector, OURS)


def is_taken(collector: Path, config: Path) -> None:
    command = [str(collector), "validate", "--config", str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
