"""deploy/systemd: the units say of exit codes, slots and times what the commands do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stream.exits import Exit
from stream.settings.model import Settings
from tests.harness.command_line import settings_of
from tests.harness.repository import ROOT

UNITS = ROOT / "deploy" / "systemd"
WORKER, BESIDE = UNITS / "tailstream@.service", UNITS / "tailstream-beside@.service"
COMMANDS = ("export", "exemplars", "rekey")
PROGRAM = "/opt/tailstream/bin/tailstream"
EXPOSURE_MAX = 2.0


def value(unit: Path, name: str) -> str:
    """Return the one value of a directive."""
    (found,) = re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)
    assert isinstance(found, str)
    return found


def command(unit: Path, instance: str) -> list[str]:
    """Return the arguments of the unit's command, as systemd makes them."""
    variables = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit.read_text(), re.MULTILINE))
    variables["STATE_DIRECTORY"] = f"/var/lib/tailstream/{instance}"
    line = value(unit, "ExecStart").replace("%i", instance).replace("%H", "host")
    line = re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], line)
    program, *arguments = line.split()
    assert program == PROGRAM
    return arguments


def settings_under(unit: Path, instance: str, tmp_path: Path) -> Settings:
    """Return what the unit's command would run with, on a file with static members."""
    config = tmp_path / "tailstream.yaml"
    config.write_text("worker: {group: one, static_membership: true}\n")
    return settings_of(command(unit, instance), config, {})


@pytest.mark.parametrize("unit", [WORKER, BESIDE])
def test_only_a_mistake_of_the_operator_is_not_restarted(unit: Path) -> None:
    assert value(unit, "Restart") == "on-failure"  # an exit with 0 was asked for
    assert value(unit, "RestartPreventExitStatus").split() == [str(int(Exit.OPERATOR))]
    assert value(unit, "StartLimitIntervalSec") == "0"


@pytest.mark.parametrize("unit", [WORKER, BESIDE])
def test_what_an_instance_has_of_its_own_wins_over_what_all_share(unit: Path) -> None:
    files = re.findall(r"^EnvironmentFile=(.*)$", unit.read_text(), re.MULTILINE)
    assert files == ["-/etc/tailstream/tailstream.env", "-/etc/tailstream/%i.env"]


def test_two_slots_of_a_host_share_neither_identity_nor_directory(tmp_path: Path) -> None:
    assert value(WORKER, "StateDirectory") == "tailstream/%i"
    one, two = (settings_under(WORKER, slot, tmp_path) for slot in "12")
    assert (one.worker.instance_id, two.worker.instance_id) == ("host-1", "host-2")
    assert one.storage.directory != two.storage.directory


@pytest.mark.parametrize("name", COMMANDS)
def test_what_runs_beside_a_worker_has_a_port_of_its_own_and_waits_for_nobody(
    name: str, tmp_path: Path
) -> None:
    worker, beside = (
        settings_under(unit, instance, tmp_path)
        for unit, instance in ((WORKER, "1"), (BESIDE, name))
    )
    assert beside.web.port != worker.web.port
    assert not beside.worker.static_membership


def test_a_stop_waits_for_longer_than_a_transaction_may_take(tmp_path: Path) -> None:
    transaction_s = settings_under(WORKER, "1", tmp_path).worker.transaction_timeout_s
    assert int(value(WORKER, "TimeoutStopSec").removesuffix("s")) > transaction_s


@pytest.mark.parametrize(("unit", "instance"), [(WORKER, "1"), (BESIDE, "export")])
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, instance: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd here")
    program = tmp_path / "tailstream"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    placed = tmp_path / unit.name.replace("@", f"@{instance}")
    placed.write_text(unit.read_text().replace(PROGRAM, str(program)))
    verified = subprocess.run(
        [analyze, "verify", str(placed)], capture_output=True, text=True, check=False
    )
    said = [line for line in verified.stderr.splitlines() if unit.stem.rstrip("@") in line]
    assert verified.returncode == 0, verified.stderr
    assert not said

    security = [analyze, "security", "--offline=yes", f"--threshold={EXPOSURE_MAX * 10:.0f}"]
    judged = subprocess.run([*security, str(placed)], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout[-500:]
