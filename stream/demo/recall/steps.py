"""The steps of Recall, each asserted: what it found in numbers, and what is wrong with it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from stream.demo.recall.application import NAME, SLOW_BOUND
from stream.demo.recall.checkout import Checkout
from stream.demo.recall.evidence import AFTER, BEFORE, DURING
from stream.demo.recall.head import SHARE, is_head_kept, likely_most
from stream.demo.recall.tail import ERRORS, SLOW, Ran
from stream.demo.words import amount

PIN = "pin"
NAMED_MAX = 3
SLOW_S = 2.0


@dataclass(slots=True)
class Step:
    """One step: its letter, what was done, what was found, and the faults; none: it held."""

    letter: str
    title: str
    found: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def head_step(checkouts: Sequence[Checkout]) -> Step:
    """(a) How many slow traces a head sampler leaves."""
    step = Step("a", f"{SHARE * 100:g} % kept at the head")
    slow = [each for each in checkouts if each.slow]
    failed = [each for each in checkouts if each.failed]
    kept = [each for each in checkouts if is_head_kept(each)]
    slow_kept = sum(map(is_head_kept, slow))
    step.found = [
        f"{len(kept):,} of {amount(len(checkouts), 'trace')} kept",
        f"{slow_kept:,} of {len(slow):,} slow ones",
        f"{sum(map(is_head_kept, failed)):,} of {len(failed):,} with an error",
    ]
    for count, among in ((len(kept), checkouts), (slow_kept, slow)):
        if count > likely_most(len(among)):
            step.faults.append(f"{count:,} of {len(among):,} kept: more than chance explains")
    return step


def tail_step(checkouts: Sequence[Checkout], ran: Ran, slow_ms: int) -> Step:
    """(b) Every slow trace is kept, by the latency policy, whole; every error too; nothing else."""
    step = Step("b", f"all recorded, latency policy of {slow_ms / 1000:g} s at the tail")
    slow = [each for each in checkouts if each.slow]
    failed = [each for each in checkouts if each.failed]
    step.found = [
        f"{_kept(slow, ran)} slow ones kept whole, {_kept(failed, ran)} with an error",
        f"{len(ran.evidence.output):,} of {amount(len(checkouts), 'trace')} kept",
    ]
    _expect_whole(step, [*slow, *failed], ran)
    _expect_policy(step, slow, ran, SLOW)
    _expect_policy(step, failed, ran, ERRORS)
    _expect_no_more(step, [*slow, *failed], ran)
    return step


def pins_step(checkouts: Sequence[Checkout], ran: Ran, slow_ms: int) -> Step:
    """(c) Every trace that an exemplar ever named is kept, whole, though no policy wants it."""
    step = Step("c", f"a mistuned policy of {slow_ms / 1000:g} s, with pins from exemplars")
    named = [each for each in checkouts if each.trace_id in ran.exemplars]
    failed = [each for each in checkouts if each.failed]
    unwanted = [each for each in named if not each.failed]
    when = Counter(ran.evidence.pinned.get(each.trace_id, "not at all") for each in unwanted)
    told = ", ".join(f"{when[each]:,} {words}" for each, words in _WHEN.items())
    step.found = [
        f"{_kept(named, ran)} traces that exemplars named kept whole",
        f"{len(unwanted):,} of them wanted by no policy",
        f"their pins came: {told} of the trace's window",
    ]
    if len(named) < len(ran.exemplars) or not any(each.slow for each in named):
        step.faults.append("exemplars do not name the traffic, or none of its slow traces")
    _expect_whole(step, [*named, *failed], ran)
    _expect_policy(step, unwanted, ran, PIN)
    _expect_no_more(step, [*named, *failed], ran)
    return step


_WHEN = {BEFORE: "before the first span", DURING: "during", AFTER: "after the end"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A line of a bucket that has an exemplar, and the trace that it names."""

    line: str
    trace_id: bytes


def shown_in(text: str) -> list[Shown]:
    """Return the `le="2.5"` bucket lines of OpenMetrics text that carry an exemplar.

    Raises:
        ValueError: it is not OpenMetrics.
    """
    lines = [
        line
        for line in text.splitlines()
        if line.startswith(f"{NAME}_bucket{{") and f'le="{SLOW_BOUND}"' in line
    ]
    samples = [
        sample
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # prometheus-client has no types there
        for sample in family.samples
        if sample.name == f"{NAME}_bucket" and sample.labels["le"] == SLOW_BOUND
    ]
    return [
        Shown(line, bytes.fromhex(sample.exemplar.labels["trace_id"]))
        for line, sample in zip(lines, samples, strict=True)
        if sample.exemplar is not None
    ]


def click_step(checkouts: Sequence[Checkout], ran: Ran) -> Step:
    """(d) The bucket's line carries an exemplar, and its trace id opens the whole trace."""
    step = Step("d", f'from the bucket le="{SLOW_BOUND}" to the trace')
    by_id = {each.trace_id: each for each in checkouts}
    shown = shown_in(ran.application.openmetrics())
    if not shown:
        step.faults.append(f'no line of le="{SLOW_BOUND}" carries an exemplar')
    for one in shown:
        trace, checkout = ran.evidence.trace(one.trace_id), by_id[one.trace_id]
        if trace is None:
            step.faults.append(f"{one.trace_id.hex()} opens nothing")
            continue
        spans, duration_s = len(trace.nodes), (trace.end_ns - trace.start_ns) / 1e9
        step.found = [
            one.line,
            f"{one.trace_id.hex()} opens {amount(spans, 'span')}, {duration_s:.2f} s: "
            + ", ".join(trace.services),
        ]
        if len(trace.tops) != 1 or {n.span.span_id for n in trace.nodes} != checkout.span_ids:
            step.faults.append(f"{one.trace_id.hex()} opens a trace that is not whole")
        if duration_s < SLOW_S:
            step.faults.append(f"{one.trace_id.hex()} took {duration_s:.2f} s: it is no slow one")
    return step


def _kept(wanted: Sequence[Checkout], ran: Ran) -> str:
    return f"{sum(map(ran.evidence.is_kept, wanted)):,} of {len(wanted):,}"


def _expect_whole(step: Step, wanted: Sequence[Checkout], ran: Ran) -> None:
    _fault(step, [each for each in wanted if not ran.evidence.is_kept(each)], "not there whole")


def _expect_policy(step: Step, wanted: Sequence[Checkout], ran: Ran, policy: str) -> None:
    others = [
        each
        for each in wanted
        if {one.policy for one in ran.evidence.deliveries(each.trace_id).deliveries} != {policy}
    ]
    _fault(step, others, f"not kept by {policy}")


def _expect_no_more(step: Step, wanted: Sequence[Checkout], ran: Ran) -> None:
    more = len(ran.evidence.output.keys() - {each.trace_id for each in wanted})
    if more:
        step.faults.append(f"{amount(more, 'trace')} kept that nothing wants")


def _fault(step: Step, those: Sequence[Checkout], what: str) -> None:
    if those:
        named = ", ".join(each.trace_id.hex() for each in those[:NAMED_MAX])
        step.faults.append(f"{amount(len(those), 'trace')} {what}: {named}")
