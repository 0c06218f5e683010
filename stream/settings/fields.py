"""What the settings' models are made of: frozen blocks, durations, sizes."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Strict,
    StringConstraints,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from stream.settings.environment import Reference
from stream.settings.errors import Problem
from stream.settings.units import format_duration, format_size, parse_duration, parse_size

WRITTEN: Final = {"written": True}
"""The validation context of settings that an operator wrote: there a bare number is no duration."""


class Unit(StrEnum):
    """What a number of the settings counts. YAML writes it out, Python names carry it."""

    DURATION = "duration"
    SIZE = "size"


class Block(BaseModel):
    """A section of the settings: frozen, no unknown names, no conversions but those of units.

    In YAML a field has its alias (`commit_interval`), in Python its name (`commit_interval_s`).
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, given: Any) -> Any:
        """Read references as what each field wants; an empty section is one of defaults."""
        if not isinstance(given, dict):
            return given
        fields = fields_by_key(cls)
        return {
            key: _resolved(fields.get(key), value)
            for key, value in given.items()
            if not (value is None and key in fields and block_of(fields[key]))
        }


def fields_by_key(block: type[Block]) -> dict[str, FieldInfo]:
    """Return a block's fields by their YAML names, in the order of their declaration."""
    return {field.alias or name: field for name, field in block.model_fields.items()}


def block_of(field: FieldInfo) -> type[Block] | None:
    """Return the block that a field holds, None if it holds a value."""
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return annotation
    return None


def unit_of(field: FieldInfo) -> Unit | None:
    """Return the unit of a field's number, None if it has none."""
    return next((part for part in field.metadata if isinstance(part, Unit)), None)


def problems_error(problems: Sequence[Problem]) -> PydanticCustomError:
    """Wrap problems, each with a path below the value at hand, as pydantic wants them."""
    text = "; ".join(str(problem) for problem in problems)
    return PydanticCustomError("problems", "{text}", {"text": text, "problems": tuple(problems)})


def written(block: Block) -> dict[str, Any]:
    """Return a block as YAML would write it: aliases, units written out, plain types only."""
    return {
        key: written_value(getattr(block, name), unit_of(field))
        for (key, field), name in zip(
            fields_by_key(type(block)).items(), type(block).model_fields, strict=True
        )
    }


def written_value(value: Any, unit: Unit | None = None) -> Any:
    """Return one value as YAML would write it."""
    if unit is Unit.DURATION:
        return format_duration(value)
    if unit is Unit.SIZE:
        text = format_size(value)
        return int(text) if text.isdigit() else text
    if isinstance(value, Block):
        return written(value)
    if isinstance(value, tuple):
        return [written_value(inner) for inner in value]
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value) if value.is_absolute() else f"./{value}"
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _resolved(field: FieldInfo | None, value: Any) -> Any:
    if not isinstance(value, Reference):
        return value
    wants_number = field is not None and (
        unit_of(field) is not None or field.annotation in (bool, int, float)
    )
    return value.parsed if wants_number else str(value)


def _reader(parse: Callable[[str], float], unit: Unit, remedy: str) -> Callable[..., Any]:
    def read(value: Any, info: ValidationInfo) -> Any:
        if value in (None, ""):
            wanted = f"{remedy}, or remove it for the default"
            raise problems_error([Problem("", value, "has no value", wanted)])
        if isinstance(value, str):
            try:
                return parse(value)
            except ValueError as error:
                raise problems_error([Problem("", value, str(error), remedy)]) from None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise problems_error([Problem("", value, f"is not a {unit}", remedy)])
        if unit is Unit.SIZE and isinstance(value, float):
            raise problems_error([Problem("", value, "is not a whole number of bytes", remedy)])
        if unit is Unit.DURATION and value != 0 and info.context == WRITTEN:
            wrong, suggestion = "has no unit", f"write {value}ms or {value}s"
            raise problems_error([Problem("", value, wrong, suggestion)])
        return value

    return read


Duration = Annotated[
    float,
    BeforeValidator(_reader(parse_duration, Unit.DURATION, "write e.g. 500ms, 30s or 1m30s")),
    Unit.DURATION,
]
"""Seconds. In YAML `500ms`, `1m30s`."""

Size = Annotated[
    int,
    BeforeValidator(_reader(parse_size, Unit.SIZE, "write e.g. 1000000, 64KiB, 512MiB or 20GiB")),
    Unit.SIZE,
]
"""Bytes. In YAML `1000000`, `512MiB`."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=249, pattern=r"^\S(.*\S)?$")]
"""Text that is not empty and neither begins nor ends with a space."""

KafkaName = Annotated[
    str, StringConstraints(min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$")
]
"""What Kafka takes as a topic's name or a member's id."""

OptionalText = Annotated[str, BeforeValidator(lambda given: "" if given is None else given)]
"""Text, or nothing, as the template writes it."""

FromList = Strict(strict=False)
"""For a tuple: take YAML's list."""
