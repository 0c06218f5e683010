"""The tree of a condition. `at` is where a node begins in the text; equality ignores it."""

from dataclasses import dataclass, field
from typing import TypeAlias

from stream.sampling.ottl.values import Value


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, number, boolean, byte slice or nil."""

    value: Value
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Enum:
    """A name in capitals that stands for a number."""

    name: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """One name of a path, and the keys that index it."""

    name: str
    keys: tuple["Node", ...] = ()
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Path:
    """A field of the telemetry, e.g. `resource.attributes["service.name"]`."""

    segments: tuple[Segment, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a call; `name` is "" where it has none."""

    name: str
    value: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """A converter called, and the keys that index what it returns."""

    name: str
    arguments: tuple[Argument, ...] = ()
    keys: tuple["Node", ...] = ()
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values."""

    values: tuple["Node", ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map of values; the keys are UTF-8."""

    entries: tuple[tuple[bytes, "Node"], ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Sign:
    """`+` or `-` before a value."""

    operator: str
    value: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Operators of one precedence, from left to right: `rest` is (operator, value) each."""

    first: "Node"
    rest: tuple[tuple[str, "Node"], ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values and one of `==`, `!=`, `<`, `<=`, `>`, `>=`; `at` is the operator's place."""

    operator: str
    left: "Node"
    right: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """What is true where the condition is not."""

    condition: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class AllOf:
    """`and`: conditions, two at least, the first false one ends it."""

    conditions: tuple["Node", ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`or`: conditions, two at least, the first true one ends it."""

    conditions: tuple["Node", ...]
    at: int = field(default=0, compare=False)


Node: TypeAlias = (
    Literal
    | Enum
    | Path
    | Call
    | ListOf
    | MapOf
    | Sign
    | Arithmetic
    | Comparison
    | Not
    | AllOf
    | AnyOf
)
"""Any part of a condition; which may stand where is `compile`'s to check."""
