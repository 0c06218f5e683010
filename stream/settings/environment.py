"""`${env:NAME:-default}` in the settings.

As in the Collector (confmap's env provider): `${NAME}` is short for `${env:NAME}`, `$$` is `$`, and
a value that is one reference whole is read as YAML. Unlike there, and as in OpenTelemetry's
declarative configuration (specification/configuration/data-model.md), a default also stands in for
an empty variable, only scalars are replaced, and a variable that is not set stops the start.
"""

import os
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from stream.settings.errors import ABSENT, Problem, SettingsError
from stream.settings.yaml_text import parse_scalar

_DEPTH_MAX: Final = 128
_TOKEN: Final = re.compile(r"\$\$|\$\{([^}]*)(\}?)")
_REFERENCE: Final = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_PROVIDER: Final = re.compile(r"(?!env:)[a-z][a-z0-9+.-]+:")

PASTE: Final = (
    "paste what it stands for: of the Collector's references only ${env:NAME} is read here"
)
"""What to do with a reference to a file, an address or a vault."""


class Reference(str):
    """The text of a value that was one reference whole, and what it is when read as YAML.

    Both are kept: `0123` is text in `worker.instance_id` and a number nowhere, `5` is either.
    """

    __slots__ = ("parsed",)
    parsed: Any

    def __new__(cls, text: str) -> Self:
        """Keep the text, and read it as a YAML scalar."""
        reference = super().__new__(cls, text)
        reference.parsed = parse_scalar(text)
        return reference


class UnresolvedError(SettingsError):
    """References that lead nowhere. `tree` has the others replaced, and these by nothing."""

    def __init__(self, problems: Iterable[Problem], tree: Any) -> None:
        super().__init__(problems)
        self.tree = tree


def environment() -> dict[str, str]:
    """Return this process's environment, with HOSTNAME also where nobody set it.

    Kubernetes sets it; a shell has it and does not export it. Without it every host's worker would
    be in the slot of `worker.instance_id`'s last default.
    """
    return {**os.environ, "HOSTNAME": os.environ.get("HOSTNAME") or socket.gethostname()}


def substitute(tree: Any, environment: Mapping[str, str]) -> Any:
    """Return the tree with the references in its scalars replaced; keys stay as they are.

    Raises:
        UnresolvedError: a variable is not set and has no default, or a reference is malformed.
        SettingsError: the tree is nested too deeply.
    """
    problems: list[Problem] = []
    replaced = _replace(tree, "", environment, problems)
    if problems:
        raise UnresolvedError(problems, replaced)
    return replaced


def _replace(
    tree: Any, path: str, environment: Mapping[str, str], problems: list[Problem], depth: int = 0
) -> Any:
    if depth > _DEPTH_MAX:
        begins = ".".join(path.split(".")[:3])
        wrong = f"it is nested too deeply (more than {_DEPTH_MAX} levels)"
        remedy = "write it flatter; a YAML alias in what it stands for has no end"
        raise SettingsError([Problem(begins, ABSENT, wrong, remedy)])
    if isinstance(tree, dict):
        return {
            key: _replace(
                inner, f"{path}.{key}" if path else str(key), environment, problems, depth + 1
            )
            for key, inner in tree.items()
        }
    if isinstance(tree, list):
        return [
            _replace(inner, f"{path}[{index}]", environment, problems, depth + 1)
            for index, inner in enumerate(tree)
        ]
    if isinstance(tree, str) and "$" in tree:
        return _replace_text(tree, path, environment, problems)
    return tree


def _replace_text(
    text: str, path: str, environment: Mapping[str, str], problems: list[Problem]
) -> str:
    def value(token: re.Match[str]) -> str:
        if token[0] == "$$":
            return "$"
        found = _look_up(token, environment)
        if isinstance(found, str):
            return found
        wrong, remedy = found
        problems.append(Problem(path, text, wrong, remedy))
        return ""

    whole = _TOKEN.fullmatch(text)
    replaced = _TOKEN.sub(value, text)
    return Reference(replaced) if whole and text != "$$" else replaced


def _look_up(token: re.Match[str], environment: Mapping[str, str]) -> str | tuple[str, str]:
    """Return the value of a reference, or (what is wrong, what to do)."""
    body, end = token.groups()
    if not end:
        return "`${` has no `}`", "write ${env:NAME}, or $${ for the characters ${"
    if "${" in body:
        return "a reference inside a reference", "write a plain default in ${env:NAME:-default}"
    match = _REFERENCE.fullmatch(body)
    if match is None:
        ours = "write ${env:NAME}, or $${ for ${ itself"
        return "not a reference to the environment", PASTE if _PROVIDER.match(body) else ours
    name, default = match.groups()
    if default is not None:
        return environment.get(name) or default
    if name not in environment:
        remedy = f"set it, or write ${{env:{name}:-default}}"
        return f"the environment variable {name} is not set", remedy
    return environment[name]
