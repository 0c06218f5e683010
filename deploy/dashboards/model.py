"""What a dashboard is made of here: a small part of what Grafana knows, as values.

Not grafana-foundation-sdk: its releases are numbered by Grafana's minor version below an epoch, so
nothing but an exact pin can name one, and four dashboards of three kinds of panels need little of
it. It judges what is rendered, in `tests/real/test_grafana_schema.py`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Unit(StrEnum):
    """Grafana's names of the units used here."""

    NUMBER = "short"
    SECONDS = "s"
    MICROSECONDS = "µs"
    BYTES = "bytes"
    BYTES_PER_SECOND = "Bps"
    SHARE = "percentunit"
    PER_SECOND = "cps"
    CORES = "none"


class Kind(StrEnum):
    """Grafana's names of the kinds of panel used here."""

    SERIES = "timeseries"
    STAT = "stat"
    HEATMAP = "heatmap"
    TABLE = "table"


GREEN: Final = "green"
YELLOW: Final = "yellow"
RED: Final = "red"


@dataclass(frozen=True, slots=True)
class Step:
    """From this value on a panel has this colour. The first step of a panel starts at None."""

    value: float | None
    color: str


def high_is_bad(yellow: float | None, red: float) -> tuple[Step, ...]:
    """Return the steps of what should stay low; without `yellow` there is nothing between."""
    between = () if yellow is None else (Step(yellow, YELLOW),)
    return (Step(None, GREEN), *between, Step(red, RED))


def low_is_bad(red_below: float, yellow_below: float | None = None) -> tuple[Step, ...]:
    """Return the steps of what should stay high."""
    if yellow_below is None:
        return (Step(None, RED), Step(red_below, GREEN))
    return (Step(None, RED), Step(red_below, YELLOW), Step(yellow_below, GREEN))


ONE_COLOR: Final = (Step(None, GREEN),)


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression; `legend` names its series by their labels (`{{partition}}`).

    `exemplars`: the traces that its buckets name are drawn into the panel, and lead to the trace.
    """

    expr: str
    legend: str = "__auto"
    exemplars: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. `width` is in 24ths of the page, `height` in Grafana's units of 30 pixels.

    `description` is for who is on call: what it shows, and what a bad value means.
    """

    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    kind: Kind = Kind.SERIES
    steps: tuple[Step, ...] = ONE_COLOR
    stacked: bool = False
    width: int = 12
    height: int = 8
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels below a heading, from left to right, in as many lines as they need."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the page, from the values of a label of a metric."""

    name: str
    label: str
    metric: str
    several: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A page. `uid` is a part of its address, and the name of its file."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = field(default=())


def stat(
    title: str,
    expr: str,
    unit: Unit,
    description: str,
    *,
    steps: tuple[Step, ...] = ONE_COLOR,
    decimals: int | None = None,
) -> Panel:
    """Return a panel of one number, with its past behind it."""
    return Panel(
        title=title,
        description=description,
        unit=unit,
        queries=(Query(expr, title),),
        kind=Kind.STAT,
        steps=steps,
        width=4,
        height=4,
        decimals=decimals,
    )
