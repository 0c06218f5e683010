"""From a file, `--set` and the environment to checked settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from stream.settings.collector import take_tail_sampling
from stream.settings.environment import UnresolvedError, substitute
from stream.settings.errors import ABSENT, Problem, SettingsError
from stream.settings.explain import explain, with_policy_names
from stream.settings.fields import WRITTEN
from stream.settings.model import Settings
from stream.settings.overrides import merge, parse_overrides
from stream.settings.yaml_text import parse_yaml

DEFAULT_REFERENCES: Final[dict[str, Any]] = {
    "kafka": {"bootstrap.servers": "${env:KAFKA_BOOTSTRAP:-localhost:9092}"},
    "worker": {"instance_id": "${env:HOSTNAME:-worker-0}"},
}
"""The defaults that come from the environment."""


def load(path: Path | None, overrides: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Return the settings: defaults, below the file, below the overrides; checked whole.

    Args:
        path: YAML of DESIGN section 9, or a whole Collector file; None: no file.
        overrides: `a.b=c`, the last one wins.
        environment: what `${env:NAME}` refers to.

    Raises:
        SettingsError: anything the operator has to mend, every problem that can be told at once.
    """
    written: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    if path is not None:
        written, notes = take_tail_sampling(read_file(path))
    tree = merge(merge(DEFAULT_REFERENCES, written), parse_overrides(overrides))
    return _resolved(tree, environment, notes)


def problems_of(written: dict[str, Any], environment: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return what the operator has to mend in settings as they are written, references and all."""
    try:
        _resolved(merge(DEFAULT_REFERENCES, written), environment, ())
    except SettingsError as error:
        return error.problems
    return ()


def read_file(path: Path) -> dict[str, Any]:
    """Return a settings file as it is written, references and all.

    Raises:
        SettingsError: it cannot be read, is not YAML, is empty, or is not a map.
    """
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        remedy = "check --config and TAILSTREAM_CONFIG, or write one with `tailstream init`"
        wrong = f"cannot be read: {error.strerror or error}"
        raise SettingsError([Problem(name, ABSENT, wrong, remedy)]) from None
    except UnicodeDecodeError as error:
        wrong = f"is not UTF-8 text (byte {error.start})"
        raise SettingsError([Problem(name, ABSENT, wrong, "save it as UTF-8")]) from None
    tree = parse_yaml(text, name)
    if tree is None:
        remedy = "write one with `tailstream init`, or leave --config away for the defaults"
        raise SettingsError([Problem(name, ABSENT, "is empty", remedy)])
    if not isinstance(tree, dict):
        wrong, remedy = "is not a map of settings", "write e.g. worker: {group: tailstream}"
        raise SettingsError([Problem(name, ABSENT, wrong, remedy)])
    return tree


def checked(tree: Mapping[str, Any], notes: tuple[str, ...] = ()) -> Settings:
    """Return a tree of written settings, references replaced, as settings.

    Raises:
        SettingsError: something in it is wrong.
    """
    try:
        settings = Settings.model_validate(tree, by_alias=True, by_name=False, context=WRITTEN)
    except ValidationError as error:
        raise SettingsError(with_policy_names(explain(error, tree), tree)) from None
    settings._source_notes = notes  # noqa: SLF001 - not a setting, so not a field
    return settings


def _resolved(
    tree: dict[str, Any], environment: Mapping[str, str], notes: tuple[str, ...]
) -> Settings:
    try:
        replaced = substitute(tree, environment)
    except UnresolvedError as error:
        problems = [*error.problems, *_others(error)]
        raise SettingsError(with_policy_names(problems, tree)) from None
    return checked(replaced, notes)


def _others(unresolved: UnresolvedError) -> list[Problem]:
    """Return what else is wrong where references could not be replaced.

    What one setting demands of another is left out: who knows what they would be.
    """
    tree = unresolved.tree
    try:
        Settings.model_validate(tree, by_alias=True, by_name=False, context=WRITTEN)
    except ValidationError as error:
        if all(detail["loc"] == () for detail in error.errors(include_url=False)):
            return []
        unknown = {problem.setting for problem in unresolved.problems}
        return [problem for problem in explain(error, tree) if problem.setting not in unknown]
    return []
