"""What `tailstream compare` says, in words and as JSON."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from stream.compare import Comparison, TwoTopics
from stream.settings.units import format_duration


def nothing(names: tuple[str, str], two: TwoTopics, since_s: float, edge_s: float) -> str:
    """Return what to say where no trace could be compared; `names` are the topics', ours first."""
    ours, other = len(two.ours.traces), len(two.other.traces)
    last, edge = format_duration(since_s), format_duration(edge_s)
    return (
        f"There is nothing to compare: of the last {last}, {names[0]} has {_traces(ours)}, "
        f"{names[1]} {_traces(other)}, and none lies in the time that both cover, {edge} away from "
        "its ends. Let both run longer, look further back (--since), or lower --edge where the two "
        "samplers are less apart"
    )


def lines_of(
    names: tuple[str, str], two: TwoTopics, found: Comparison, edge_s: float
) -> Iterator[str]:
    """Yield the lines for a reader: what was read and compared, by policy, and examples."""
    assert found.window_ms
    width = max(map(len, names))
    for name, side in zip(names, (two.ours, two.other), strict=True):
        unreadable = f", {side.unreadable:,} of them unreadable" if side.unreadable else ""
        held = f"{_traces(len(side.traces))} in {side.records:,} records{unreadable}"
        yield f"{name:<{width}}  {held}"
    first, last = (_time(each) for each in found.window_ms)
    yield f"compared: {_traces(found.compared)}, from {first} to {last}"
    if found.at_the_edges:
        edge = format_duration(edge_s)
        yield f"  {_traces(found.at_the_edges)} nearer than {edge} to an end of the time both cover"
    if found.one_of > 1:
        yield f"  one trace of {found.one_of}, by trace id: there are more spans than --spans-max"
    if found.twice_ours or found.twice_other:
        ours, other = found.twice_ours, found.twice_other
        yield f"  spans more than once: {ours:,} in ours, {other:,} in the other"
    yield ""
    yield from _table(found)
    yield from _examples(names, found)
    yield (
        f"{found.different:,} of {_traces(found.compared)} differ."
        if found.different
        else "The same traces, with the same spans."
    )


def _table(found: Comparison) -> Iterator[str]:
    policies = sorted({*found.same, *found.only_ours, *found.differing})
    width = max(len("policy"), *map(len, policies), 1)
    yield f"{'policy':<{width}}  {'same':>9}  {'only ours':>9}  {'spans differ':>12}"
    for policy in policies:
        counts = found.same[policy], found.only_ours[policy], found.differing[policy]
        yield f"{policy or '-':<{width}}  {counts[0]:>9,}  {counts[1]:>9,}  {counts[2]:>12,}"
    if found.only_other:
        yield f"only in the other: {_traces(found.only_other)}"
    yield ""


def _examples(names: tuple[str, str], found: Comparison) -> Iterator[str]:
    for trace_id, policy in found.only_ours_examples:
        yield f"only in {names[0]}: {trace_id} (kept by {policy or '-'})"
    for trace_id in found.only_other_examples:
        yield f"only in {names[1]}: {trace_id} (tailstream explain {trace_id} says why not here)"
    for each in found.differing_examples:
        yield (
            f"spans differ: {each.trace_id} (kept by {each.policy or '-'}): "
            f"{each.only_ours:,} only in ours, {each.only_other:,} only in the other"
        )


def told(names: tuple[str, str], two: TwoTopics, found: Comparison) -> dict[str, Any]:
    """Return the same for a program."""
    assert found.window_ms
    first_ms, last_ms = found.window_ms
    topics = {
        key: {
            "topic": name,
            "records": side.records,
            "unreadable": side.unreadable,
            "traces": len(side.traces),
            "spans_twice": twice,
        }
        for key, name, side, twice in (
            ("ours", names[0], two.ours, found.twice_ours),
            ("other", names[1], two.other, found.twice_other),
        )
    }
    return {
        **topics,
        "window": {"first_ms": first_ms, "last_ms": last_ms, "at_the_edges": found.at_the_edges},
        "one_of": found.one_of,
        "compared": found.compared,
        "same": dict(found.same),
        "only_ours": dict(found.only_ours),
        "only_other": found.only_other,
        "spans_differ": dict(found.differing),
        "examples": {
            "only_ours": [
                {"trace_id": trace_id, "policy": policy}
                for trace_id, policy in found.only_ours_examples
            ],
            "only_other": found.only_other_examples,
            "spans_differ": [
                {
                    "trace_id": each.trace_id,
                    "policy": each.policy,
                    "only_ours": each.only_ours,
                    "only_other": each.only_other,
                }
                for each in found.differing_examples
            ],
        },
    }


def _traces(count: int) -> str:
    return f"{count:,} trace{'' if count == 1 else 's'}"


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
