"""The systemd units of deploy/systemd, as systemd reads them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.harness.repository import ROOT

UNITS: Final = {
    "worker": "tailstream@.service",
    "export": "tailstream-export@.service",
    "rekey": "tailstream-rekey@.service",
    "exemplars": "tailstream-exemplars@.service",
}
"""The template unit of each command."""

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
    (found,) = [each for _, known, each in directives(command) if known == name]
    return found


def variables(command: str) -> dict[str, str]:
    """Return what `Environment=` sets."""
    given = [each for _, name, each in directives(command) if name == "Environment"]
    return dict(each.split("=", 1) for each in given)


def arguments(command: str, slot: str) -> list[str]:
    """Return the arguments of the program in a slot, as systemd makes them."""
    known = variables(command)
    for _, name, each in directives(command):
        if name == "StateDirectory":
            known["STATE_DIRECTORY"] = "/var/lib/" + each.replace("%i", slot)
    line = value(command, "ExecStart").replace("%i", slot).replace("%H", "host")
    line = re.sub(r"\$\{(\w+)\}", lambda found: known[found[1]], line)
    program, *rest = line.split()
    assert program == PROGRAM
    return rest
