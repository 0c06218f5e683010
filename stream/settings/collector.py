"""A whole OpenTelemetry Collector file: its `tail_sampling` processor is ours, the rest is not."""

from typing import Any, Final

from stream.settings.environment import PASTE
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


def take_tail_sampling(
    tree: dict[str, Any], processor: str | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings in a file, and what to say of the rest of it.

    A file without `processors:` is returned as it is. In a Collector's file the block is found as
    `processors.tail_sampling` or `processors.tail_sampling/name`; our own sections may stand
    beside the Collector's. `processor` chooses among several.

    Raises:
        SettingsError: there is no such processor, or more than one.
    """
    if "processors" not in tree and processor is None:
        if "tail_sampling" not in tree and (
            sections := [name for name in _TELLING if name in tree]
        ):
            wrong = f"missing in what is a Collector's file ({', '.join(sections)})"
            remedy = "add processors: with tail_sampling below it, or give the file that has it"
            raise SettingsError([Problem("processors", ABSENT, wrong, remedy)])
        return tree, ()
    processors = _processors_of(tree)
    found = [name for name in processors if str(name).partition("/")[0] == "tail_sampling"]
    if processor is not None:
        if processor not in found:
            raise SettingsError([_no_such(processor, found)])
        found = [processor]
    if len(found) != 1:
        raise SettingsError([_not_one(processors, found)])
    if "tail_sampling" in tree:
        wrong = f"processors.{found[0]} is there, too"
        raise SettingsError([Problem("tail_sampling", ABSENT, wrong, "keep one of them")])
    block = processors[found[0]]
    if isinstance(block, str) and block:
        wrong, remedy = "must be a map of settings", PASTE
        raise SettingsError([Problem(f"processors.{found[0]}", block, wrong, remedy)])
    own = {name: section for name, section in tree.items() if name not in _SECTIONS}
    return {**own, "tail_sampling": block}, _notes(tree, processors, found[0])


def _processors_of(tree: dict[str, Any]) -> dict[str, Any]:
    processors = {} if tree.get("processors") is None else tree["processors"]
    if not isinstance(processors, dict):
        wrong, remedy = "must be a map of processors", "write processors: {tail_sampling: {...}}"
        if isinstance(processors, str):
            remedy = PASTE
        raise SettingsError([Problem("processors", processors, wrong, remedy)])
    return processors


def _notes(tree: dict[str, Any], processors: dict[str, Any], taken: str) -> tuple[str, ...]:
    notes = [f"processors.{taken}: taken from the Collector's file"]
    if others := ", ".join(str(name) for name in processors if name != taken):
        notes.append(
            f"processors: not used: {others}: what runs before tail_sampling is to run before the "
            "spans are written to Kafka, what runs after it on the kept ones"
        )
    if unused := ", ".join(name for name in tree if name in _SECTIONS and name != "processors"):
        notes.append(
            f"{unused}: not used: where spans come from and go to is set in kafka, topics, worker"
        )
    return tuple(notes)


def _no_such(processor: str, found: list[str]) -> Problem:
    remedy = f"choose one of {', '.join(found)}" if found else "give the file that has it"
    wrong = "no tail_sampling block of that name in processors"
    return Problem("--processor", processor, wrong, remedy)


def _not_one(processors: dict[str, Any], found: list[str]) -> Problem:
    if found:
        wrong = f"has several tail_sampling blocks: {', '.join(found)}"
        remedy = (
            f"make a file of each: tailstream init --from FILE --processor {found[0]}; and give "
            "each a worker.group and a topics.output of its own"
        )
        return Problem("processors", ABSENT, wrong, remedy)
    names = ", ".join(map(str, processors)) or "none"
    remedy = "add tail_sampling, or write it at the top without processors:"
    return Problem("processors", ABSENT, f"has no tail_sampling (found: {names})", remedy)
