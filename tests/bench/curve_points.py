"""The curves: what is varied, over what, and what a point runs."""

from dataclasses import dataclass, replace

from tests.bench.corpus import REFERENCE, SPREAD_TRACES, Shape
from tests.bench.policies import Keeping
from tests.bench.worker_run import MEMORY, Variant
from tests.harness.topics import PARTITIONS

REFERENCE_SPANS_A_TRACE = 15.5
OPEN_TRACES_MAX = 4_000_000
WINDOW_S_MAX = 300
RECORD_SPANS = 5
LONE_MEMORY = "2GiB"
"""In less a window of lone spans at 20,000 a second reaches the limit: it is told so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One place on a curve: `at` on its axis, and what is run there."""

    at: float
    spans: int
    shape: Shape = REFERENCE
    partitions: int = PARTITIONS
    variant: Variant = MEMORY
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """CPU a span against one quantity. `flat`: the budget wants it flat within 20 %."""

    name: str
    axis: str
    points: list[Point]
    flat: bool = False
    logarithmic: bool = True
    note: str = ""


def curves(spans: int, variant: Variant = MEMORY) -> list[Curve]:
    """Return all curves, of about `spans` spans a point."""
    return [
        _partitions(spans, variant),
        _workers(spans, variant),
        _window(spans, variant),
        _policies(spans, variant),
        _trace_spans(spans, variant),
        _open_traces(spans, variant),
        _kept(spans, variant),
    ]


def _partitions(spans: int, variant: Variant) -> Curve:
    points = [
        Point(at=count, spans=spans, partitions=count, variant=variant)
        for count in (1, 2, 4, 8, 16, 32, 64)
    ]
    return Curve(name="partitions", axis="partitions of one worker", points=points, flat=True)


def _workers(spans: int, variant: Variant) -> Curve:
    points = [Point(at=count, spans=spans, workers=count, variant=variant) for count in (1, 2, 3)]
    return Curve(
        name="workers",
        axis="workers that share 8 partitions",
        points=points,
        logarithmic=False,
        note="CPU of all workers together",
    )


def _window(spans: int, variant: Variant) -> Curve:
    """Event time is the corpus' own: slow enough that the longest window fills."""
    rate = max(1, int(spans / (WINDOW_S_MAX * 1.3)))
    spread = max(1, round(rate / REFERENCE_SPANS_A_TRACE / 3))  # a third of a second
    shape = replace(REFERENCE, name="slow", spans_a_second=rate, spread_traces=spread)
    points = [
        Point(
            at=window_s,
            spans=spans,
            shape=shape,
            variant=replace(variant, decision_wait_ms=window_s * 1000),
        )
        for window_s in (1, 5, 30, 60, WINDOW_S_MAX)
    ]
    note = f"at {rate} spans a second, so that the longest holds {rate * WINDOW_S_MAX:,} spans"
    return Curve(name="window", axis="decision_wait, s", points=points, flat=True, note=note)


def _policies(spans: int, variant: Variant) -> Curve:
    # One alone keeps as many spans as the three do.
    settings = {1: Keeping(errors=False, slow=False, percentage=9.6)}
    settings |= {count: Keeping(idle=count - 3) for count in (3, 10, 25, 50)}
    points = [
        Point(at=count, spans=spans, variant=replace(variant, keeping=keeping))
        for count, keeping in settings.items()
    ]
    note = "above 3: attributes of spans and resources, durations, none of which keeps a trace"
    return Curve(name="policies", axis="policies", points=points, note=note)


def _trace_spans(spans: int, variant: Variant) -> Curve:
    keeping = Keeping(errors=False, slow=False, percentage=10)
    points = [
        Point(
            at=count,
            spans=spans,
            shape=Shape(
                name=f"traces of {count}",
                trace_spans=(count, count),
                trace_services_max=1,
                record_spans_max=RECORD_SPANS,
                spread_traces=round(SPREAD_TRACES * REFERENCE_SPANS_A_TRACE / count),
            ),
            variant=replace(
                variant, keeping=keeping, settings={"storage": {"memory": LONE_MEMORY}}
            ),
        )
        for count in (1, 3, 10, 30, 100, 300, 1000)
    ]
    note = f"{RECORD_SPANS} spans a record, where the trace has so many; {LONE_MEMORY} of memory"
    return Curve(name="trace_spans", axis="spans a trace", points=points, note=note)


def _open_traces(spans: int, variant: Variant) -> Curve:
    """Traces of one lean span; the window is what varies how many are open."""
    shape = Shape(
        name="lone spans",
        trace_spans=(1, 1),
        trace_services_max=1,
        span_attributes=0,
        spread_traces=0,
    )
    points = [
        Point(
            at=count,
            spans=max(spans, round(count * 1.2)),
            shape=shape,
            variant=replace(
                variant,
                decision_wait_ms=count * 1000 // shape.spans_a_second,
                settings={
                    "limits": {"open_traces_max": OPEN_TRACES_MAX},
                    "storage": {"memory": "16GiB"},
                },
            ),
        )
        for count in (1_000, 10_000, 100_000, 1_000_000)
    ]
    note = "traces of one span, one record each"
    return Curve(name="open_traces", axis="open traces", points=points, flat=True, note=note)


def _kept(spans: int, variant: Variant) -> Curve:
    points = [
        Point(
            at=share,
            spans=spans,
            variant=replace(variant, keeping=Keeping(errors=False, slow=False, percentage=share)),
        )
        for share in (0, 5, 10, 25, 50, 75, 100)
    ]
    axis = "% of the traces kept"
    return Curve(name="kept", axis=axis, points=points, logarithmic=False)
