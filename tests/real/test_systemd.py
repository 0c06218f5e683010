"""deploy/systemd, judged by systemd."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.systemd_units import PROGRAM, instance_of, path_of
from tests.real.report import Report

pytestmark = pytest.mark.real

EXPOSURE_MAX = 2.0


@pytest.fixture(scope="module")
def analyze(report: Report) -> str:
    """Give systemd's own judge of units."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("there is no systemd-analyze here: install systemd", pytrace=False)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    report.ran("systemd", said.stdout.split()[1])
    return program


@pytest.fixture(params=["worker", "export"])
def placed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give an instance of each unit, with a program that is there."""
    program = tmp_path / "tailstream"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = path_of(request.param)
    placed = tmp_path / unit.name.replace("@", f"@{instance_of(request.param, '1')}")
    placed.write_text(unit.read_text().replace(PROGRAM, str(program)))
    return placed


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_systemd_finds_nothing_wrong_with_a_unit(analyze: str, placed: Path) -> None:
    verified = run(analyze, "verify", str(placed))
    assert verified.returncode == 0, verified.stderr
    assert not [line for line in verified.stderr.splitlines() if placed.stem in line]


def test_systemd_takes_a_unit_for_well_locked_in(
    analyze: str, placed: Path, report: Report
) -> None:
    limit = f"--threshold={EXPOSURE_MAX * 10:.0f}"
    judged = run(analyze, "security", "--offline=yes", limit, str(placed))
    assert judged.returncode == 0, judged.stdout[-500:]
    (overall,) = [line for line in judged.stdout.splitlines() if "Overall exposure" in line]
    report.found("systemd", placed.stem.partition("@")[0], overall.split(":", 1)[1].strip())


def test_a_misspelt_directive_is_found(analyze: str, placed: Path) -> None:
    placed.write_text(placed.read_text().replace("RestartSec=", "RestartSecs="))
    assert "RestartSecs" in run(analyze, "verify", str(placed)).stderr
