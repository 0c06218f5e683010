"""The systemd units of deploy/systemd, as systemd reads them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.harness.repository import ROOT

BESIDE: Final = "tailstream-beside@.service"
UNITS: Final = {
    "worker": "tailstream@.service",
    "export": BESIDE,
    "rekey": BESIDE,
    "exemplars": BESIDE,
}
"""The template unit of each command. Its instance is a slot of workers, else the command."""

PROGRAM: Final = "/opt/tailstream/bin/tailstream"


def path_of(command: str) -> Path:
    """Return where a command's unit is."""
    return ROOT / "deploy" / "systemd" / UNITS[command]


def directives(command: str) -> Iterator[tuple[str, str, str]]:
    """Yield (section, name, value) of each line; AssertionError where systemd would not read it."""
    section = ""
    for line in path_of(command).read_text().splitlines():
        heading = re.fullmatch(r"\[(\w+)\]", line)
        if heading:
            section = heading[1]
        elif line and line[0] not in "#;":
            assignment = re.fullmatch(r"(\w+)=(.*\S|)", line)
            assert assignment, f"{UNITS[command]}: {line!r} is no assignment"
            assert section, f"{UNITS[command]}: {line!r} is in no section"
            yield section, assignment[1], assignment[2]


def value(command: str, name: str) -> str:
    """Return the one value of a directive."""
    (found,) = values(command, name)
    return found


def values(command: str, name: str) -> list[str]:
    """Return all values of a directive, in order."""
    return [each for _, known, each in directives(command) if known == name]


def variables(command: str) -> dict[str, str]:
    """Return what `Environment=` sets."""
    return dict(each.split("=", 1) for each in values(command, "Environment"))


def instance_of(command: str, slot: str) -> str:
    """Return what stands behind the @ of a unit that is started."""
    return slot if command == "worker" else command


def arguments(command: str, slot: str = "1") -> list[str]:
    """Return the arguments of the program, of a worker in a slot, as systemd makes them."""
    known = variables(command)
    instance = instance_of(command, slot)
    for _, name, each in directives(command):
        if name == "StateDirectory":
            known["STATE_DIRECTORY"] = "/var/lib/" + each.replace("%i", instance)
    line = value(command, "ExecStart").replace("%i", instance).replace("%H", "host")
    line = re.sub(r"\$\{(\w+)\}", lambda found: known[found[1]], line)
    program, *rest = line.split()
    assert program == PROGRAM
    return rest
