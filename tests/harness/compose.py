"""docker-compose.yml as compose reads it: variables by their defaults, anchors merged."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.harness.command_line import settings_of
from tests.harness.repository import ROOT

FILE = ROOT / "docker-compose.yml"


@cache
def services() -> dict[str, dict[str, Any]]:
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", FILE.read_text())
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """Return the services that run our image."""
    return {
        name: service
        for name, service in services().items()
        if service["image"].startswith("tailstream:")
    }


def mounts(service: Mapping[str, Any]) -> dict[str, str]:
    """Return what a service mounts: by the place in the container a path here, or a volume."""
    return {
        place: source
        for source, place in (volume.split(":")[:2] for volume in service.get("volumes", ()))
    }


def mounted_file(service: Mapping[str, Any], place: str) -> Path:
    """Return the file of this repository that a container finds at a place."""
    return ROOT / mounts(service)[place]


def settings_of_service(name: str) -> Any:
    """Return the settings that a service of ours runs with."""
    service = ours()[name]
    environment = {"HOSTNAME": service.get("hostname", name), **service["environment"]}
    config = mounted_file(service, environment["TAILSTREAM_CONFIG"])
    return settings_of(service["command"], config, environment)
