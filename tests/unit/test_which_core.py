"""Which core runs: told, and as it is told."""

import os
import subprocess
import sys

import pytest

from stream import compiled
from stream.otlp.scan import ScanPlan
from stream.version import build

SAYS = (
    "from stream import compiled; from stream.otlp.scan import ScanPlan; "
    "print(compiled.RUNS, ScanPlan().scanner is not None, compiled.core())"
)


def said(variable: str | None) -> str:
    """What a process says that was started with this value of the variable."""
    environment = {k: v for k, v in os.environ.items() if k != compiled.PURE_VARIABLE}
    if variable is not None:
        environment[compiled.PURE_VARIABLE] = variable
    command = [sys.executable, "-c", SAYS]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_variable_forces_the_pure_python_twin() -> None:
    assert said("1") == "False False pure Python (TAILSTREAM_PURE is set)"


@pytest.mark.parametrize("variable", ["", "0"])
def test_0_and_nothing_force_none(variable: str) -> None:
    assert said(variable) == said(None)
    assert "is set" not in said(variable)


def test_what_is_told_is_what_runs() -> None:
    assert (ScanPlan().scanner is not None) is compiled.RUNS
    assert build()["compiled"] == ("true" if compiled.RUNS else "false")
    assert compiled.core().startswith("compiled" if compiled.RUNS else "pure Python")
