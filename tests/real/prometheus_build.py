"""Builds Prometheus and promtool from their Go modules: `python -m tests.real.prometheus_build`.

Once for a version, into `.cache/prometheus/`. Without the service discoveries of clouds, which need
many more modules; without the web pages' files, which the modules do not have: the API is whole.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.harness.repository import ROOT

VERSION: Final = "v0.316.0"
"""As a Go module; the release is 3.16."""
MODULE: Final = "github.com/prometheus/prometheus"
PROGRAMS: Final = ("prometheus", "promtool")
TAGS: Final = "remove_all_sd"
CACHE: Final = ROOT / ".cache" / "prometheus" / VERSION
GO_AT_LEAST: Final = (1, 25)
TIMEOUT_S: Final = 1_800
LOG_LINES: Final = 20


class NotBuiltError(RuntimeError):
    """There is no Prometheus here. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where the programs are."""

    prometheus: Path
    promtool: Path


def built() -> Binaries:
    """Return the programs.

    Raises:
        NotBuiltError: they have not been built.
    """
    found = Binaries(*(CACHE / program for program in PROGRAMS))
    if not (found.prometheus.exists() and found.promtool.exists()):
        raise NotBuiltError("there is no Prometheus: make test-real builds one (needs Go)")
    return found


def build() -> None:
    """Build what is not there.

    Raises:
        NotBuiltError: there is no Go, an old one, or the build failed.
    """
    missing = [program for program in PROGRAMS if not (CACHE / program).exists()]
    if not missing:
        return
    _require_go()
    print(f"Building {' and '.join(missing)} from Go modules, once (about five minutes) ...")
    sources = CACHE / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    sources.mkdir(parents=True)
    _run(["go", "mod", "init", "tailstream.test/prometheus"], sources)
    packages = [f"{MODULE}/cmd/{program}" for program in PROGRAMS]
    _run(["go", "get", "-tags", TAGS, *(f"{package}@{VERSION}" for package in packages)], sources)
    for program, package in zip(PROGRAMS, packages, strict=True):
        if program in missing:
            output = sources / program
            command = ["go", "build", "-tags", TAGS, "-ldflags=-s -w", "-o", str(output), package]
            _run(command, sources)
            output.rename(CACHE / program)  # whole or not there


def _require_go() -> None:
    wanted = ".".join(map(str, GO_AT_LEAST))
    if shutil.which("go") is None:
        raise NotBuiltError(
            f"Prometheus is built from Go modules, and there is no `go` here. Install Go {wanted} "
            "or later: https://go.dev/dl"
        )
    said = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True)
    found = re.match(r"go(\d+)\.(\d+)", said.stdout)
    if found and tuple(map(int, found.groups())) < GO_AT_LEAST:
        raise NotBuiltError(
            f"Prometheus is built with Go {wanted} or later; `go` here is {said.stdout.strip()}"
        )


def _run(command: list[str], directory: Path) -> None:
    log = CACHE / "build.log"
    env = {**os.environ, "CGO_ENABLED": "0"}
    with log.open("ab") as out:
        ended = subprocess.run(
            command,
            cwd=directory,
            env=env,
            stdout=out,
            stderr=out,
            timeout=TIMEOUT_S,
            check=False,
        )
    if ended.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
        raise NotBuiltError(
            f"Prometheus was not built ({' '.join(command[:2])} ended with {ended.returncode}). "
            "Where modules could not be fetched, set GOPROXY to a proxy that can be reached.\n"
            f"{last}"
        )


if __name__ == "__main__":
    try:
        build()
    except NotBuiltError as problem:
        raise SystemExit(str(problem)) from None
