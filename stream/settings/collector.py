"""A whole OpenTelemetry Collector file: its `tail_sampling` processor is ours, the rest is not."""

from typing import Any, Final

from stream.settings.errors import ABSENT, Problem, SettingsError

_SECTIONS: Final = (
    "connectors",
    "exporters",
    "extensions",
    "processors",
    "providers",
    "receivers",
    "service",
)


_TELLING: Final = ("connectors", "exporters", "extensions", "receivers", "service")
"""What no file of ours has."""


def take_tail_sampling(tree: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings in a file, and what to say of the rest of it.

    A file without `processors:` is returned as it is. In a Collector's file the block is found as
    `processors.tail_sampling` or `processors.tail_sampling/name`; our own sections may stand
    beside the Collector's.

    Raises:
        SettingsError: there is no such processor, or more than one.
    """
    if "processors" not in tree:
        if "tail_sampling" not in tree and (
            sections := [name for name in _TELLING if name in tree]
        ):
            wrong = f"missing in what is a Collector's file ({', '.join(sections)})"
            remedy = "add processors: with tail_sampling below it, or give the file that has it"
            raise SettingsError([Problem("processors", ABSENT, wrong, remedy)])
        return tree, ()
    processors = {} if tree["processors"] is None else tree["processors"]
    if not isinstance(processors, dict):
        wrong, remedy = "must be a map of processors", "write processors: {tail_sampling: {...}}"
        raise SettingsError([Problem("processors", processors, wrong, remedy)])
    found = [name for name in processors if str(name).partition("/")[0] == "tail_sampling"]
    if len(found) != 1:
        raise SettingsError([_not_one(processors, found)])
    if "tail_sampling" in tree:
        wrong = f"processors.{found[0]} is there, too"
        raise SettingsError([Problem("tail_sampling", ABSENT, wrong, "keep one of them")])
    own = {name: section for name, section in tree.items() if name not in _SECTIONS}
    unused = ", ".join(name for name in tree if name in _SECTIONS and name != "processors")
    notes = [f"processors.{found[0]}: taken from the Collector's file as tail_sampling"]
    if others := ", ".join(str(name) for name in processors if name not in found):
        notes.append(f"processors: not used: {others}")
    if unused:
        notes.append(
            f"{unused}: not used: where spans come from and go to is set in kafka, topics, worker"
        )
    return {**own, "tail_sampling": processors[found[0]]}, tuple(notes)


def _not_one(processors: dict[str, Any], found: list[str]) -> Problem:
    if found:
        wrong = f"has several tail_sampling blocks: {', '.join(found)}"
        return Problem("processors", ABSENT, wrong, "keep one, or give each its own file and group")
    names = ", ".join(map(str, processors)) or "none"
    remedy = "add tail_sampling, or write it at the top without processors:"
    return Problem("processors", ABSENT, f"has no tail_sampling (found: {names})", remedy)
