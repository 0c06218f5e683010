"""Pydantic's validation errors as problems that an operator can act on."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from stream.settings.errors import ABSENT, Problem, cut, nearest
from stream.settings.fields import Unit, block_of, fields_by_key, unit_of
from stream.settings.policies import POLICY_BLOCKS
from stream.settings.units import format_duration, format_size, parse_duration, parse_size
from stream.settings.walk import (
    LISTS_OF_POLICIES,
    all_paths,
    block_at,
    choices_of,
    field_at,
    is_policy_type,
)

_KINDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "int_type": ("must be a whole number", "write it without quotes, e.g. 1000"),
        "int_from_float": ("must be a whole number", "write it without a fraction"),
        "float_type": ("must be a number", "write it without quotes, e.g. 5 or 0.1"),
        "finite_number": ("must be a finite number", "write e.g. 5 or 0.1"),
        "bool_type": ("must be true or false", "write true or false, without quotes"),
        "string_type": ("must be text", "write it in quotes"),
        "string_unicode": ("is no text", "write it without halves of surrogate pairs"),
        "tuple_type": ("must be a list", "write it as a list: [a, b], or one `- ` a line"),
        "path_type": ("must be a path", "write it in quotes"),
        "model_type": ("must be a map of settings", "write `name: value` lines below it"),
        "model_attributes_type": ("must be a map of settings", "write `name: value` lines"),
        "string_too_short": ("empty", "write a name"),
        "string_too_long": ("too long", "write at most 249 characters"),
        "too_short": ("empty", "write at least one"),
        "string_pattern_mismatch": (
            "has characters that are not allowed here",
            "use letters, digits, `.`, `_` and `-`, no space at the ends",
        ),
    }
)
_REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "policies": "write at least one policy: without one nothing would be kept",
        "drop_sub_policy": "write at least one: the Collector drops every trace when it is empty",
        "and_sub_policy": "write at least one: the Collector keeps every trace when it is empty",
        "composite_sub_policy": "write at least one: the Collector keeps none when it is empty",
        "status_codes": "write at least one of OK, ERROR, UNSET",
    }
)
_POLICY: Final = re.compile(r"^tail_sampling\.policies\[(\d+)\](?!\.name$)")
_NAME_CHARS_MAX: Final = 60
_POLICIES: Final = ("tail_sampling", "policies")
_BOUNDS: Final = (
    ("ge", "less than {}", "set it to {} or more"),
    ("gt", "not more than {}", "set it above {}"),
    ("le", "more than {}", "set it to {} or less"),
    ("lt", "not less than {}", "set it below {}"),
)


def explain(error: ValidationError, tree: Any) -> tuple[Problem, ...]:
    """Return the problems behind pydantic's errors, in the settings' order.

    `tree` is what was validated: pydantic tells some values only after their conversion.
    """
    return tuple(
        problem
        for detail in error.errors(include_url=False)
        for problem in _problems(
            detail["type"],
            detail["loc"],
            _as_given(tree, detail["loc"], detail["input"]),
            detail.get("ctx", {}),
        )
    )


def with_policy_names(problems: Iterable[Problem], tree: Any) -> list[Problem]:
    """Return the problems, those of a policy with its name beside its index, as `tree` has it."""
    return [
        replace(problem, place=_POLICY.sub(lambda found: _named(found, tree), problem.setting))
        for problem in problems
    ]


def _named(found: re.Match[str], tree: Any) -> str:
    try:
        name = tree["tail_sampling"]["policies"][int(found[1])]["name"]
    except (LookupError, TypeError):
        return found[0]
    if not isinstance(name, str) or not name.strip():
        return found[0]
    return f"{found[0]} ({cut(name, _NAME_CHARS_MAX)})"


def _problems(
    kind: str, location: Sequence[str | int], value: Any, context: Mapping[str, Any]
) -> Iterator[Problem]:
    path = _path(location)
    if kind == "problems":
        for inner in context["problems"]:
            setting = ".".join(part for part in (path, inner.setting) if part)
            yield Problem(setting, inner.value, inner.wrong, inner.remedy)
    elif kind == "extra_forbidden":
        yield Problem(path, value, "no such setting", _unknown_remedy(location))
    elif kind == "invalid_key":
        wrong, remedy = "a setting's name is text", "write the name in quotes, or remove it"
        yield Problem(f"{_path(location[:-1])}.{location[-1]}".lstrip("."), value, wrong, remedy)
    elif kind == "too_short" and value:
        return  # pydantic counts the good ones; the others have problems of their own
    elif kind == "missing":
        yield Problem(path, ABSENT, "missing", f"write {location[-1]}: and its value")
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        yield _policy_type(path, value)
    elif value is None:
        yield Problem(path, None, "has no value", f"write its value{_or_remove(location)}")
    else:
        wrong, remedy = _wrong(kind, location, context)
        yield Problem(path, value, wrong, _of_number(kind, path, value) or remedy)


def _wrong(kind: str, location: Sequence[str | int], context: Mapping[str, Any]) -> tuple[str, str]:
    field = field_at(location)
    if kind == "literal_error":
        expected = ", ".join(choices_of(field)) if field else context["expected"]
        return "no such choice", f"write one of {expected}"
    for key, wrong, remedy in _BOUNDS:
        if key in context:
            bound = _bound(context[key], unit_of(field) if field else None)
            return wrong.format(bound), remedy.format(bound)
    wrong, remedy = _KINDS[kind]
    if kind == "too_short":
        remedy = _REMEDIES.get(str(location[-1]), remedy)
    elif kind == "tuple_type" and location[-1] in LISTS_OF_POLICIES:
        remedy = "write it as a list: `- name: ...` for each policy"
    return wrong, remedy


def _or_remove(location: Sequence[str | int]) -> str:
    if not isinstance(location[-1], str):
        return ", or remove it"
    field = field_at(location)
    is_needed = field is None or field.is_required() or location[-1] == "name"
    return "" if is_needed else ", or remove it for the default"


def _of_number(kind: str, path: str, value: Any) -> str:
    """Return what to write where a number is wanted; empty where there is no better advice."""
    match kind, value:
        case "float_type", str():
            number = value.strip().removesuffix("%").rstrip()
            is_one = re.fullmatch(r"[0-9]+(\.[0-9]+)?", number)
            wanted = number if is_one else "a number alone, e.g. 5 or 0.1,"
            return f"write {wanted} without quotes"
        case "int_type" | "int_from_float", float():
            whole = f"{value:.0f}" if value.is_integer() else "it without a fraction, e.g. 1000"
            return f"write {whole}"
        case "int_type", str():
            return f"write {_as_number(path, value) or 'a number alone, e.g. 1000,'} without quotes"
    return ""


def _as_number(path: str, text: str) -> int | None:
    """Return `5s` in milliseconds, `1MB` in bytes, by what the setting's name says it counts."""
    try:
        if path.endswith("_ms"):
            return round(parse_duration(text) * 1000)
        if "bytes" in path.rpartition(".")[2] or ".bytes_limiting." in path:
            return parse_size(text)
        return int(text.removesuffix("%"))
    except ValueError:
        return None


def _bound(bound: float, unit: Unit | None) -> str:
    if unit is Unit.DURATION:
        return format_duration(bound)
    if unit is Unit.SIZE:
        return format_size(int(bound))
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _path(location: Sequence[str | int]) -> str:
    """Return the setting's path as the operator sees it: no types of policies, lists by index."""
    path = ""
    for index, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
        elif not is_policy_type(location, index):
            path += f".{part}" if path else str(part)
    return path


def _as_given(tree: Any, location: Sequence[str | int], otherwise: Any) -> Any:
    value = tree
    for index, part in enumerate(location):
        if is_policy_type(location, index):
            continue
        try:
            value = value[part]
        except (LookupError, TypeError):
            return otherwise
    return value


def _unknown_remedy(location: Sequence[str | int]) -> str:
    block = block_at(location[:-1])
    assert block is not None, "only a block has names"
    name, known = str(location[-1]), fields_by_key(block)
    prefix = f"{_path(location[:-1])}.".removeprefix(".")
    near = nearest(name, known)
    below = [
        f"{prefix}{key}.{name}"
        for key, field in known.items()
        if (inner := block_of(field)) and name in fields_by_key(inner)
    ]
    # A policy's options have namesakes all over the settings, of which none is meant.
    in_policy = len(location) > len(_POLICIES) + 1 and tuple(location[:2]) == _POLICIES
    elsewhere = [path for path in all_paths() if path.rpartition(".")[2] == name and not in_policy]
    if places := below or elsewhere:
        return f"did you mean {' or '.join(places)}?"
    if near:
        return f"did you mean {prefix}{near}?"
    return f"remove it, or write one of {', '.join(known)}"


def _policy_type(path: str, value: Any) -> Problem:
    given = value.get("type", ABSENT) if isinstance(value, Mapping) else ABSENT
    known = sorted(POLICY_BLOCKS)
    setting = f"{path}.type"
    if given is ABSENT or not isinstance(given, str):
        return Problem(setting, given, "a policy needs a type", f"write one of {', '.join(known)}")
    if given == "drop":
        remedy = f"write one of {', '.join(kind for kind in known if kind != 'drop')}"
        return Problem(setting, given, "a drop policy stands at the top only", remedy)
    honoured = f"supported are {', '.join(known)}"
    near = nearest(given, known)
    remedy = f"did you mean {near}?" if near else honoured
    return Problem(setting, given, "no such type of policy", remedy)
