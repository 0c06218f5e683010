"""What the README says about sizing follows from the code, and agrees with what was measured."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stream.sampling.trace import RECORD_BYTES, TRACE_BYTES
from stream.state.memory import DECISION_OVERHEAD_BYTES
from stream.state.shares import Shares
from stream.state.spill import BODY_OVERHEAD_BYTES
from tests.bench.corpus import corpus
from tests.bench.curve_points import curves
from tests.harness.repository import ROOT

MIB = 1 << 20
RESULTS = ROOT / "tests" / "bench" / "results"
CORPUS_TRACE_SPANS = 15.5
KEPT_SHARE = 0.096
SPILL_MEMORY_MIB, RATE, ALLOWANCE_MIB = 512, 10_000, 150


def sizing() -> str:
    """Return the README's section, without its line breaks."""
    text = (ROOT / "README.md").read_text()
    return " ".join(text.partition("### Sizing")[2].partition("\n### ")[0].split())


def numbers(pattern: str) -> list[float]:
    """Return the numbers that the section has in the groups of this pattern."""
    found = re.search(pattern, sizing())
    assert found, f"the README's sizing does not say: {pattern}"
    return [float(group.replace(",", "")) for group in found.groups()]


def curve(name: str) -> list[dict[str, Any]]:
    told = json.loads((RESULTS / "curves.json").read_text())["curves"]
    (points,) = [each["points"] for each in told if each["name"] == name]
    assert points
    return list(points)


def cpu_us(trace_spans: float, kept_share: float) -> float:
    """Return CPU µs a span by the README's formula."""
    base, a_trace, kept = numbers(
        r"µs a span = ([\d.]+) \+ ([\d.]+) / spans a trace \+ ([\d.]+) x share of spans kept"
    )
    return base + a_trace / trace_spans + kept * kept_share


def test_the_cpu_formula_is_within_a_quarter_of_every_measured_trace_length() -> None:
    for point in curve("trace_spans"):
        measured = point["cpu_us_a_span"]["median"]
        assert cpu_us(point["at"], KEPT_SHARE) == pytest.approx(measured, rel=0.25), point["at"]


def test_the_cpu_formula_is_within_a_quarter_of_every_measured_kept_share() -> None:
    for point in curve("kept"):
        measured = point["cpu_us_a_span"]["median"]
        said = cpu_us(CORPUS_TRACE_SPANS, point["at"] / 100)
        assert said == pytest.approx(measured, rel=0.25), point["at"]


def test_the_memory_that_is_named_is_what_the_code_accounts() -> None:
    assert numbers(
        r"open traces x ([\d,]+) B \+ records in the window x \(([\d,]+) B \+ record bytes\)"
        r" \+ decisions x ([\d,]+) B"
    ) == [TRACE_BYTES, RECORD_BYTES + BODY_OVERHEAD_BYTES, min(DECISION_OVERHEAD_BYTES, 210)]


@pytest.mark.parametrize("memory_mib", [512, 1024, 4096])
def test_the_memory_formula_leaves_room_for_what_it_was_given(memory_mib: int) -> None:
    shares = Shares.of(memory_mib * MIB, rocksdb=True)
    over, under, fixed_mib = numbers(r"storage\.memory = ([\d]+)/([\d]+) x \(held \+ ([\d]+) MiB\)")

    assert over / under * (shares.held + fixed_mib * MIB) == pytest.approx(memory_mib * MIB)


def test_the_memory_formula_is_above_what_a_million_open_traces_took() -> None:
    trace_b, record_b, _ = numbers(
        r"open traces x ([\d,]+) B \+ records in the window x \(([\d,]+) B \+ record bytes\)"
        r" \+ decisions x ([\d,]+) B"
    )
    (lone,) = [each for each in curves(1_000) if each.name == "open_traces"]
    bodies = [len(record.value) for record in corpus(1_000, shape=lone.points[0].shape)]
    point = curve("open_traces")[-1]
    first = curve("open_traces")[0]["peak_rss_mib"]["median"]
    said_mib = point["at"] * (trace_b + record_b + sum(bodies) / len(bodies)) / MIB

    grown_mib = point["peak_rss_mib"]["median"] - first
    assert grown_mib < said_mib < 2 * grown_mib


def test_the_process_stayed_below_the_allowance_that_is_named() -> None:
    (allowance_mib,) = numbers(r"The process takes at most storage\.memory \+ (\d+) MiB")
    assert allowance_mib == ALLOWANCE_MIB
    rss = json.loads(newest("rss").read_text())
    peaks = [value for name, value in walk(rss) if name == "peak_rss_mib" and value < 600]
    assert peaks
    assert max(peaks) <= SPILL_MEMORY_MIB + ALLOWANCE_MIB


def newest(name: str) -> Path:
    return max(RESULTS.glob(f"*-{name}.json"))


def walk(told: Any, name: str = "") -> "list[tuple[str, float]]":
    if isinstance(told, dict):
        return [pair for key, value in told.items() for pair in walk(value, key)]
    if isinstance(told, list):
        return [pair for value in told for pair in walk(value, name)]
    return [(name, told)] if isinstance(told, int | float) else []
