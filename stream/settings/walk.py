"""The settings' names, from the model: for the reference table, the template, and near misses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from stream.settings.fields import Block, block_of, fields_by_key, unit_of
from stream.settings.model import Settings
from stream.settings.policies import POLICY_BLOCKS

LISTS_OF_POLICIES = ("policies", "drop_sub_policy", "and_sub_policy", "composite_sub_policy")
ONE_POLICY = "not_sub_policy"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting: its dotted YAML path and its field."""

    path: str
    field: FieldInfo

    @property
    def kind(self) -> str:
        """Return in a word or two what the setting takes."""
        unit = unit_of(self.field)
        if unit is not None:
            return str(unit)
        choices = choices_of(self.field)
        if choices:
            return "one of " + ", ".join(choices)
        if self.path.endswith(f".{ONE_POLICY}"):
            return "policy"
        annotation = self.field.annotation
        if get_origin(annotation) is Mapping:
            return "map"
        return _KINDS.get(annotation, "list")


_KINDS: dict[object, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    str | None: "text",
    Path: "path",
}


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """Return the words a setting can be, none if it is not one of a closed list."""
    is_choice = get_origin(field.annotation) is Literal
    return tuple(str(choice) for choice in get_args(field.annotation)) if is_choice else ()


def leaves(block: type[Block] = Settings, prefix: str = "") -> Iterator[Leaf]:
    """Yield every setting of a block, depth first, in the order of declaration."""
    for key, field in fields_by_key(block).items():
        inner = block_of(field)
        if inner is not None:
            yield from leaves(inner, f"{prefix}{key}.")
        else:
            yield Leaf(prefix + key, field)


def is_policy_type(location: Sequence[str | int], index: int) -> bool:
    """Return whether this part of a pydantic location is a policy's type, which YAML has not."""
    before = location[max(index - 2, 0) : index]
    if before and isinstance(before[-1], int):
        return before[0] in LISTS_OF_POLICIES
    return ONE_POLICY in before[-1:]


@cache
def all_paths() -> tuple[str, ...]:
    """Return every setting's path, and every section's."""
    paths = {leaf.path for leaf in leaves()}
    sections = {path.rpartition(".")[0] for path in paths} - {""}
    return tuple(sorted(paths | sections))


def block_at(location: Sequence[str | int]) -> type[Block] | None:
    """Return the block at a pydantic location (with policy types after a policy's index)."""
    block: type[Block] | None = Settings
    for index, part in enumerate(location):
        if block is None:
            return None
        if is_policy_type(location, index):
            block = POLICY_BLOCKS.get(str(part))
            continue
        if isinstance(part, int) or part in LISTS_OF_POLICIES or part == ONE_POLICY:
            continue
        field = fields_by_key(block).get(part)
        block = block_of(field) or _listed(field) if field is not None else None
    return block


def _listed(field: FieldInfo) -> type[Block] | None:
    """Return the block of which a field holds a list, None if it is no such list."""
    listed = next(iter(get_args(field.annotation)), None)
    return listed if isinstance(listed, type) and issubclass(listed, Block) else None


def field_at(location: Sequence[str | int]) -> FieldInfo | None:
    """Return the field at a pydantic location, None if there is none."""
    block = block_at(location[:-1]) if location else None
    return fields_by_key(block).get(str(location[-1])) if block is not None else None
