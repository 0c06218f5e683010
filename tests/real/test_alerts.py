"""The alerts, by promtool: their syntax, and their unit tests."""

import subprocess
from pathlib import Path

import pytest

from tests.harness.repository import ROOT
from tests.real.prometheus_build import Binaries

pytestmark = pytest.mark.real

OURS = ROOT / "deploy" / "prometheus"


def promtool(prometheus: Binaries, *command: str) -> None:
    ended = subprocess.run(
        [str(prometheus.promtool), *command],
        cwd=OURS,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_rules_are_right_and_nothing_to_complain_of(prometheus: Binaries) -> None:
    promtool(prometheus, "check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml")


def test_the_configuration_is_right(prometheus: Binaries) -> None:
    promtool(prometheus, "check", "config", "prometheus.yaml")


def test_every_alert_fires_where_it_must_and_nowhere_else(prometheus: Binaries) -> None:
    promtool(prometheus, "test", "rules", "alerts_test.yaml")


def test_a_wrong_expectation_is_found(prometheus: Binaries, tmp_path: Path) -> None:
    wrong = (
        (OURS / "alerts_test.yaml").read_text().replace("alerts.yaml", str(OURS / "alerts.yaml"))
    )
    (tmp_path / "wrong.yaml").write_text(wrong.replace("exp_alerts: []", "exp_alerts: [{}]", 1))

    with pytest.raises(AssertionError, match="FAILED"):
        promtool(prometheus, "test", "rules", str(tmp_path / "wrong.yaml"))
