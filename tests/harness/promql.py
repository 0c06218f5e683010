"""Which metrics and labels a PromQL expression names: enough of its grammar for our own queries.

That an expression is right is for promtool and Prometheus to say (`tests/real/`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_WORD: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_MATCHER: Final = re.compile(r'([A-Za-z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_RANGE: Final = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_SELECTOR: Final = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)?\s*\{([^}]*)\}")
_OPERATORS: Final = {"and", "or", "unless", "bool", "by", "without", "on", "ignoring"} | {
    "group_left",
    "group_right",
}


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a selector demands of a label."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric, and what is demanded of its labels."""

    metric: str
    matchers: tuple[Matcher, ...]


def selectors(expr: str) -> Iterator[Selector]:
    """Yield every selector of an expression."""
    for metric, matchers in _SELECTOR.findall(expr):
        yield Selector(metric, tuple(Matcher(*found) for found in _MATCHER.findall(matchers)))
    bare = _GROUPING.sub(" ", _RANGE.sub(" ", _SELECTOR.sub(" ", expr)))
    bare = _STRING.sub(" ", bare)
    for word in _WORD.finditer(bare):
        called = bare[word.end() :].lstrip().startswith("(")
        exponent = word.start() > 0 and bare[word.start() - 1].isdigit()
        if not called and not exponent and word.group() not in _OPERATORS:
            yield Selector(word.group(), ())


def grouped_by(expr: str) -> set[str]:
    """Return the labels that the expression groups, joins or ignores by."""
    return {
        label.strip()
        for labels in _GROUPING.findall(expr)
        for label in labels.split(",")
        if label.strip()
    }
