"""A flame graph as SVG: a frame is as wide as the share of samples that were in it or above it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET  # written here, not read

from tests.bench.stacks import Stacks, function_of

WIDTH = 1_200.0
MARGIN = 10.0
ROW = 17.0
HEAD = 46.0
LETTER = 6.9
SEEN_AT_LEAST = 0.5
"""Pixels: what is narrower is left out, with all above it."""

# What the code of a frame is: the first whose mark is in its label.
_KINDS = (
    (".pyx", "Cython", "#f6b26b"),
    (".pxd", "Cython", "#f6b26b"),
    ("stream.", "Cython", "#f6b26b"),  # as perf tells it
    (".py)", "Python", "#ffe08a"),
    ("(tailstream)", "Python", "#ffe08a"),
    ("librdkafka", "librdkafka", "#9fc5e8"),
    ("rocksdict", "RocksDB", "#b6d7a8"),
    ("confluent_kafka", "confluent-kafka", "#b4a7d6"),
    ("cimpl", "confluent-kafka", "#b4a7d6"),
    ("python", "interpreter", "#ead1dc"),
    ("kernel", "kernel", "#cccccc"),
)
_OTHER = ("other native", "#dd9787")


@dataclass(slots=True)
class _Frame:
    label: str
    count: int = 0
    above: dict[str, "_Frame"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Box:
    frame: _Frame
    x: float
    width: float
    level: int


def flame_graph(stacks: Stacks, title: str) -> str:
    """Return the SVG, the outermost frames at the bottom; hovering over a frame tells its share."""
    root = _tree(stacks)
    boxes = list(_boxes(root, MARGIN, WIDTH - 2 * MARGIN, 0))
    height = HEAD + ROW * (1 + max((box.level for box in boxes), default=0)) + MARGIN
    svg = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        attrib={"font-family": "monospace", "font-size": "11"},
    )
    ET.SubElement(svg, "rect", width="100%", height="100%", fill="#ffffff")
    _write(svg, MARGIN, 16, title)
    _legend(svg)
    for box in boxes:
        _draw(svg, box, root.count, height)
    ET.indent(svg, space="")
    return ET.tostring(svg, encoding="unicode") + "\n"


def _tree(stacks: Stacks) -> _Frame:
    root = _Frame("all")
    for stack, count in stacks.items():
        root.count += count
        at = root
        for label in stack:
            at = at.above.setdefault(label, _Frame(label))
            at.count += count
    return root


def _boxes(frame: _Frame, x: float, width: float, level: int) -> Iterator[_Box]:
    yield _Box(frame, x, width, level)
    for label in sorted(frame.above):
        above = frame.above[label]
        share = width * above.count / frame.count
        if share >= SEEN_AT_LEAST:
            yield from _boxes(above, x, share, level + 1)
        x += share


def _draw(svg: ET.Element, box: _Box, all_: int, height: float) -> None:
    y = height - MARGIN - ROW * (box.level + 1)
    label, count = box.frame.label, box.frame.count
    drawn = ET.SubElement(svg, "g")
    ET.SubElement(drawn, "title").text = f"{label}: {count / all_:.1%}, {count:,} samples"
    ET.SubElement(
        drawn,
        "rect",
        x=f"{box.x:.1f}",
        y=f"{y:.1f}",
        width=f"{max(box.width - 0.3, 0.2):.1f}",
        height=f"{ROW - 1:g}",
        fill=_kind(label)[1],
    )
    room = int((box.width - 4) / LETTER)
    name = function_of(label)
    if room > 2:
        _write(drawn, box.x + 2, y + 12, name if len(name) <= room else f"{name[: room - 2]}..")


def _legend(svg: ET.Element) -> None:
    x = MARGIN
    for name, colour in dict.fromkeys([*((kind, fill) for _, kind, fill in _KINDS), _OTHER]):
        ET.SubElement(svg, "rect", x=f"{x:g}", y="24", width="10", height="10", fill=colour)
        _write(svg, x + 14, 33, name)
        x += 30 + LETTER * len(name)


def _write(under: ET.Element, x: float, y: float, text: str) -> None:
    ET.SubElement(under, "text", x=f"{x:.1f}", y=f"{y:.1f}").text = text


def _kind(label: str) -> tuple[str, str]:
    found = ((kind, fill) for mark, kind, fill in _KINDS if mark in label)
    return next(found, _OTHER)
