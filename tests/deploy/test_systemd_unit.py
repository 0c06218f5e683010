"""deploy/systemd: the unit says of exit codes, slots and times what the worker does."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stream.exits import Exit
from tests.harness.command_line import settings_of
from tests.harness.repository import ROOT

UNIT = ROOT / "deploy" / "systemd" / "tailstream@.service"
PROGRAM = "/opt/tailstream/bin/tailstream"
EXPOSURE_MAX = 2.0


def value(name: str) -> str:
    """Return the one value of a directive."""
    (found,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert isinstance(found, str)
    return found


def command(slot: str) -> list[str]:
    """Return the arguments of the worker in a slot, as systemd makes them."""
    variables = dict(re.findall(r"^Environment=(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    variables["STATE_DIRECTORY"] = "/var/lib/" + value("StateDirectory").replace("%i", slot)
    line = value("ExecStart").replace("%i", slot).replace("%H", "host")
    line = re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], line)
    program, *arguments = line.split()
    assert program == PROGRAM
    return arguments


def test_only_a_mistake_of_the_operator_is_not_restarted() -> None:
    assert value("Restart") == "on-failure"  # an exit with 0 was asked for
    assert value("RestartPreventExitStatus").split() == [str(int(Exit.OPERATOR))]
    assert value("StartLimitIntervalSec") == "0"


def test_two_slots_of_a_host_share_neither_identity_nor_directory(tmp_path: Path) -> None:
    config = tmp_path / "tailstream.yaml"
    config.write_text("worker: {group: one}\n")
    one, two = (settings_of(command(slot), config, {}) for slot in "12")
    assert (one.worker.instance_id, two.worker.instance_id) == ("host-1", "host-2")
    assert one.storage.directory != two.storage.directory


def test_a_stop_waits_for_longer_than_a_transaction_may_take(tmp_path: Path) -> None:
    config = tmp_path / "tailstream.yaml"
    config.write_text("worker: {group: one}\n")
    transaction_s = settings_of(["worker"], config, {}).worker.transaction_timeout_s
    assert int(value("TimeoutStopSec").removesuffix("s")) > transaction_s


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd here")
    program = tmp_path / "tailstream"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    placed = tmp_path / UNIT.name.replace("@", "@1")
    placed.write_text(UNIT.read_text().replace(PROGRAM, str(program)))
    verified = subprocess.run(
        [analyze, "verify", str(placed)], capture_output=True, text=True, check=False
    )
    said = [line for line in verified.stderr.splitlines() if UNIT.stem.rstrip("@") in line]
    assert verified.returncode == 0, verified.stderr
    assert not said

    security = [analyze, "security", "--offline=yes", f"--threshold={EXPOSURE_MAX * 10:.0f}"]
    judged = subprocess.run([*security, str(placed)], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout[-500:]
