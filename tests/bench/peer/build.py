"""Builds the Collector that the comparison is with: once for a manifest, from Go modules."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml
from rich.console import Console

from tests.harness.repository import ROOT

MANIFEST = Path(__file__).parent / "builder.yaml"
CACHE = ROOT / ".cache" / "otelcol"
BUILDER = "go.opentelemetry.io/collector/cmd/builder"
GO_AT_LEAST = (1, 25)
TIMEOUT_S = 1_800
LOG_LINES = 20


class NoCollectorError(RuntimeError):
    """The Collector cannot be built here. The text says what is missing."""


def collector(console: Console, manifest: Path = MANIFEST, cache: Path = CACHE) -> Path:
    """Return the Collector's binary, built when the manifest is a new one.

    Raises:
        NoCollectorError: there is no Go, an old one, or the build failed.
    """
    binary = place_of(manifest, cache)
    if not binary.exists():
        _require_go()
        console.print("Building the Collector from Go modules, once (about five minutes) ...")
        binary.parent.mkdir(parents=True, exist_ok=True)
        _build(manifest, binary.parent).rename(binary)  # whole or not there
    return binary


def place_of(manifest: Path, cache: Path = CACHE) -> Path:
    """Return where a manifest's Collector is, once it is built."""
    name = str(yaml.safe_load(manifest.read_text())["dist"]["name"])
    return cache / hashlib.sha256(manifest.read_bytes()).hexdigest()[:12] / name


def version_of(manifest: Path = MANIFEST) -> dict[str, str]:
    """Return the versions of what does the work."""
    tree = yaml.safe_load(manifest.read_text())
    modules = [
        module["gomod"]
        for part in ("receivers", "processors", "exporters")
        for module in tree.get(part, ())
    ]
    wanted = ("kafkareceiver", "tailsamplingprocessor", "kafkaexporter")
    named = (module.rpartition("/")[2].split() for module in modules)
    return {name: version for name, version in named if name in wanted}


def _require_go() -> None:
    wanted = ".".join(map(str, GO_AT_LEAST))
    if shutil.which("go") is None:
        raise NoCollectorError(
            "The Collector is built from Go modules, and there is no `go` here. Install Go "
            f"{wanted} or later (https://go.dev/dl), or measure without it: make bench"
        )
    said = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True)
    found = re.match(r"go(\d+)\.(\d+)", said.stdout)
    if found and tuple(map(int, found.groups())) < GO_AT_LEAST:
        raise NoCollectorError(
            f"The Collector is built with Go {wanted} or later; `go` here is {said.stdout.strip()}"
        )


def _build(manifest: Path, directory: Path) -> Path:
    """Return where the new binary lies. Module proxy, caches and flags are the environment's."""
    tree = yaml.safe_load(manifest.read_text())
    sources = directory / "sources"
    tree["dist"]["output_path"] = str(sources)
    placed = directory / "builder.yaml"
    placed.write_text(yaml.safe_dump(tree))
    tools = directory / "tools"
    _run(["go", "install", f"{BUILDER}@v{tree['dist']['version']}"], directory, tools)
    _run([str(tools / "builder"), "--config", str(placed)], directory, tools)
    return sources / str(tree["dist"]["name"])


def _run(command: list[str], directory: Path, tools: Path) -> None:
    env = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(tools)}
    log = directory / "build.log"
    with log.open("ab") as out:
        try:
            ended = subprocess.run(
                command, env=env, stdout=out, stderr=out, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise NoCollectorError(
                f"The Collector was not built in {TIMEOUT_S} s: see {log}"
            ) from None
    if ended.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
        raise NoCollectorError(
            f"The Collector was not built ({' '.join(command[:2])} ended with {ended.returncode}). "
            "Where modules could not be fetched, set GOPROXY to a proxy that can be reached.\n"
            f"{last}"
        )
