"""deploy/systemd: the units say of exit codes, slots and times what the commands do.

What systemd itself says of them: tests/real/test_systemd.py.
"""

from collections import Counter
from pathlib import Path

import pytest

from stream.cli import COMMANDS
from stream.cli.running import END_S
from stream.exits import Exit
from stream.settings.model import Settings
from tests.harness.command_line import settings_of
from tests.harness.systemd_units import (
    PROGRAM,
    UNITS,
    arguments,
    directives,
    path_of,
    value,
    values,
    variables,
)

# As systemd.unit(5), systemd.service(5) and systemd.exec(5) have them.
KNOWN = {
    "Unit": {"Description", "Wants", "After", "StartLimitIntervalSec"},
    "Service": {
        *("Type", "Environment", "EnvironmentFile", "ExecStart", "StateDirectory"),
        *("StateDirectoryMode", "Restart", "RestartPreventExitStatus", "RestartSec"),
        *("TimeoutStopSec", "KillMode", "LimitNOFILE", "DynamicUser", "UMask"),
        *("CapabilityBoundingSet", "LockPersonality", "NoNewPrivileges", "PrivateDevices"),
        *("PrivateTmp", "PrivateUsers", "ProtectClock", "ProtectControlGroups", "ProtectHome"),
        *("ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules"),
        *("ProtectKernelTunables", "ProtectProc", "ProtectSystem", "RemoveIPC"),
        *("RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID"),
        *("SystemCallArchitectures", "SystemCallErrorNumber", "SystemCallFilter"),
    },
    "Install": {"WantedBy"},
}
MAY_REPEAT = {"Environment", "EnvironmentFile", "SystemCallFilter"}
HARDENED_FROM = "LimitNOFILE"

every_unit = pytest.mark.parametrize("command", UNITS)
beside = pytest.mark.parametrize("command", [command for command in UNITS if command != "worker"])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give the settings file that all units of a host read."""
    path = tmp_path / "tailstream.yaml"
    path.write_text(
        "worker: {group: one, static_membership: true}\ntopics: {unkeyed: spans_unkeyed}\n"
    )
    return path


def settings(command: str, slot: str, config: Path) -> Settings:
    return settings_of(arguments(command, slot), config, {})


def hardening(command: str) -> list[tuple[str, str]]:
    of_service = [
        (name, each) for section, name, each in directives(command) if section == "Service"
    ]
    begins = [name for name, _ in of_service].index(HARDENED_FROM)
    return of_service[begins:]


def test_every_unit_runs_the_command_that_it_is_named_for() -> None:
    files = {path.name for path in path_of("worker").parent.iterdir()}
    assert files == {*UNITS.values()}
    for command in UNITS:
        assert command in COMMANDS
        assert arguments(command)[0] == command


@every_unit
def test_every_directive_is_one_of_systemds_in_its_section_and_said_once(command: str) -> None:
    found = list(directives(command))
    assert not [(section, name) for section, name, _ in found if name not in KNOWN[section]]
    said = Counter(name for _, name, _ in found)
    assert {name for name, times in said.items() if times > 1} <= MAY_REPEAT
    assert all(each for _, name, each in found if name != "CapabilityBoundingSet")


@every_unit
def test_only_a_mistake_of_the_operator_is_not_restarted(command: str) -> None:
    assert value(command, "Restart") == "on-failure"  # an exit with 0 was asked for
    assert value(command, "RestartPreventExitStatus").split() == [str(int(Exit.OPERATOR))]
    assert value(command, "StartLimitIntervalSec") == "0"


@every_unit
def test_what_an_instance_has_of_its_own_wins_over_what_all_share(command: str) -> None:
    assert variables(command)["TAILSTREAM_CONFIG"] == "/etc/tailstream/tailstream.yaml"
    files = values(command, "EnvironmentFile")
    assert files == ["-/etc/tailstream/tailstream.env", "-/etc/tailstream/%i.env"]
    assert value(command, "ExecStart").split()[0] == PROGRAM


def test_two_workers_of_a_host_do_not_share_an_identity(config: Path) -> None:
    found = [settings("worker", slot, config).worker for slot in "12"]
    assert [one.instance_id for one in found] == ["host-1", "host-2"]


@beside
def test_what_runs_beside_a_worker_has_another_port_and_waits_for_nobody(
    command: str, config: Path
) -> None:
    found = settings(command, "1", config)
    assert found.web.port != settings("worker", "1", config).web.port
    # Static members of one name would put each other out; a group without them divides at once.
    assert not found.worker.static_membership


def test_two_workers_of_a_host_do_not_share_a_directory(config: Path) -> None:
    one, two = (settings("worker", slot, config).storage.directory for slot in "12")
    assert one != two


@every_unit
def test_a_stop_waits_for_longer_than_the_command_may_take(command: str, config: Path) -> None:
    worker = settings(command, "1", config).worker
    longest_s = worker.transaction_timeout_s if command == "worker" else END_S
    assert int(value(command, "TimeoutStopSec").removesuffix("s")) > longest_s


@every_unit
def test_every_unit_is_locked_in_as_the_workers_is(command: str) -> None:
    assert hardening(command) == hardening("worker")
    assert ("DynamicUser", "yes") in hardening(command)
    assert ("CapabilityBoundingSet", "") in hardening(command)
