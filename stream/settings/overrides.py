"""`--set a.b=c`, and how layers of settings are put on top of each other."""

from collections.abc import Sequence
from typing import Any

from stream.settings.errors import ABSENT, Problem, SettingsError, is_secret, without_login
from stream.settings.yaml_text import parse_yaml


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the overrides as one tree; a later one wins.

    The path's parts are separated by dots; below `kafka.` all that follows is one librdkafka name.
    The value is YAML. Lists are replaced whole.

    Raises:
        SettingsError: an override is not of the form `a.b=c`, or its value is not YAML.
    """
    tree: dict[str, Any] = {}
    for override in overrides:
        path, equals, text = override.partition("=")
        parts = _parts(path.strip())
        if not equals or not all(parts):
            value = ABSENT if is_secret(override) else without_login(override)
            raise SettingsError(
                [Problem("--set", value, "not of the form a.b=c", "write e.g. worker.group=blue")]
            )
        value = parse_yaml(text, f"--set {path.strip()}")
        for part in reversed(parts):
            value = {part: value}
        tree = merge(tree, value)
    return tree


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return both trees as one: maps are merged, anything else above replaces what is below.

    An empty section above (`kafka:` and nothing) leaves the section below as it is.
    """
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            merged[key] = merge(under, value)
        elif not (isinstance(under, dict) and value is None):
            merged[key] = value
    return merged


def _parts(path: str) -> list[str]:
    section, dot, name = path.partition(".")
    if section == "kafka" and dot:
        return [section, name]
    return path.split(".")
