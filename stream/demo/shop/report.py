"""The end of a shop's run, told: one checkout hop by hop, the counts, and what is wrong."""

from collections.abc import Iterator

from rich.text import Text

from stream.assembly.drawing import headline, tree_lines
from stream.assembly.layout import Layout
from stream.assembly.span import Span, spans_of
from stream.assembly.trace import assemble
from stream.demo.shop.cuts import Sign
from stream.demo.shop.evidence import Evidence
from stream.demo.shop.fate import Fate
from stream.demo.shop.findings import Findings, is_one_tree
from stream.demo.shop.hop_view import hop_lines
from stream.demo.shop.run import CUT, ERRORS, REST, SLOW, Shop
from stream.demo.shop.seen import Kind
from stream.demo.shop.service import CONSUMERS
from stream.demo.words import amount
from stream.printable import printable

INDENT = "  "
POLICIES = (CUT, ERRORS, SLOW, REST)


def report(evidence: Evidence, found: Findings, shop: Shop, *, end: str) -> Text:
    """Return the report; print it with `soft_wrap=True`. `end` is its last lines."""
    lines: list[Text] = []
    example = example_of(evidence, found, shop)
    if example is not None:
        lines += _example(evidence, example, shop)
    lines += [Text(), *_counts(evidence, found)]
    if shop.broken is not None:
        lines += _cuts(evidence, found)
    if shop.head_rate is not None:
        lines += _head(evidence, found, shop)
    lines += [_check(found), *(Text(line, style="dim") for line in end.splitlines())]
    return Text("\n").join(Text(INDENT).append_text(line) if line else line for line in lines)


def example_of(evidence: Evidence, found: Findings, shop: Shop) -> str | None:
    """Return the trace id of a checkout to be shown; None where none was kept.

    One that was cut where the run breaks traces, else the share's where there is a head sampler,
    else a slow one; whole and sent on, if there is such.
    """
    wanted = CUT if shop.broken else SLOW if shop.head_rate is None else REST
    traces = evidence.traces
    cut = {each.trace_id for each in found.cuts}
    best: tuple[tuple[bool, bool, bool, bool, int], str] | None = None
    for reply in evidence.replies:
        spans = traces.get(reply.trace_id, [])
        if reply.trace_id not in evidence.kept or not spans:
            continue
        sent = any(span.kind is Kind.PRODUCER for span in spans)
        policy = evidence.decisions[reply.trace_id].policy
        fits = (reply.trace_id in cut) if shop.broken else is_one_tree(spans)
        worth = (policy == wanted, fits, sent, reply.fate is Fate.SLOW, len(spans))
        if best is None or worth > best[0]:
            best = worth, reply.trace_id
    return best and best[1]


def _example(evidence: Evidence, trace_id: str, shop: Shop) -> Iterator[Text]:
    number = next(each.number for each in evidence.replies if each.trace_id == trace_id)
    decision = evidence.decisions[trace_id]
    yield Text(f"checkout {number}, trace {trace_id}", style="bold")
    always = "every trace is sampled"
    head = always if shop.head_rate is None else f"{shop.head_rate:.4g} of the traces"
    yield from (Text(line) for line in hop_lines(evidence, trace_id, head))
    complete = "found complete" if decision.complete else "found not complete"
    trace = assemble(list(spans_of(evidence.values[trace_id])), _others(evidence, trace_id))
    yield headline(trace, Text(f"kept by {decision.policy}, {complete}"))
    yield from tree_lines(trace, Layout())


def _others(evidence: Evidence, trace_id: str) -> Iterator[Span]:
    """Yield the spans that link to this trace, kept or not."""
    named = bytes.fromhex(trace_id)
    for value in evidence.sent:
        if named in value:
            yield from (span for span in spans_of(value) if span.trace_id != named)


def _counts(evidence: Evidence, found: Findings) -> Iterator[Text]:
    fates = ", ".join(f"{found.fates[fate]:,} {fate}" for fate in Fate)
    yield _line("requests", f"{found.requests:,}: {fates}; {found.sampled:,} sampled at the head")
    yield _line(
        "trees",
        f"{found.unbroken:,} of {found.sampled:,} unbroken over HTTP "
        f"({_percent(found.unbroken, found.sampled)}), {amount(found.orphans, 'orphan')}",
        "green" if found.unbroken == found.sampled else "yellow",
    )
    spans = ", ".join(
        f"{consumer} with {amount(_process_spans(evidence, consumer), 'span')}"
        for consumer in CONSUMERS
    )
    yield _line(
        "queue",
        f"{amount(found.messages, 'message')}, {found.linked:,} of {amount(found.hops, 'hop')} "
        f"linked ({_percent(found.linked, found.hops)}): {spans}",
        "green" if found.linked == found.hops else "red",
    )
    kept = ", ".join(f"{found.kept_by[name]:,} by {name}" for name in POLICIES)
    total = len(evidence.decisions)
    own = sum(each.trace_id in evidence.kept for each in evidence.replies)
    yield _line(
        "kept",
        f"{sum(found.kept_by.values()):,} of {total:,} traces, {own:,} of them checkouts: {kept}",
    )


def _cuts(evidence: Evidence, found: Findings) -> Iterator[Text]:
    cut = {each.trace_id for each in found.cuts}
    incomplete = sum(
        not decision.complete
        for trace_id, decision in evidence.decisions.items()
        if trace_id in cut
    )
    yield _line(
        "cut",
        f"{amount(len(cut), 'trace')} lack spans; in {incomplete:,} of them a parent is missing, "
        "so the worker, too, finds them not complete",
        "yellow",
    )
    for service, count in found.culprits.most_common():
        yield _line("by", f"{service or 'nobody can tell who'}: {count:,}", "bold yellow")
    for sign in Sign:
        shown = [each for each in found.cuts if each.sign is sign]
        if shown:
            yield Text(f"  {sign}: {len(shown):,} times, e.g. in {shown[0].trace_id}")
            yield Text(f"    {printable(shown[0].told)}")


def _head(evidence: Evidence, found: Findings, shop: Shop) -> Iterator[Text]:
    rate = shop.head_rate
    assert rate is not None, "asked only where there is a head sampler"
    yield _line(
        "hybrid",
        f"head {rate:.4g}, tail {shop.rest_percent / 100:.4g} of all: of the kept spans "
        f"{found.raised:,} have ot=th raised by the tail, {found.left:,} as the head set it",
    )
    for policy in (REST, ERRORS, SLOW):
        yield from _threshold_example(evidence, policy)


def _threshold_example(evidence: Evidence, policy: str) -> Iterator[Text]:
    before = {span.id: span for span in evidence.spans}
    for reply in evidence.replies:
        spans = evidence.kept.get(reply.trace_id, [])
        if spans and evidence.decisions[reply.trace_id].policy == policy:
            came, left = before[spans[0].id].trace_state, spans[0].trace_state
            told = "left alone" if came == left else "raised"
            came, left = printable(came), printable(left)
            yield Text(f"  kept by {policy:<6} {reply.trace_id}: {came} -> {left}   {told}")
            return


def _check(found: Findings) -> Text:
    if found.faults:
        return _line("check", "; ".join(found.faults), "bold red")
    return _line("check", "as it should be", "bold green")


def _process_spans(evidence: Evidence, consumer: str) -> int:
    return sum(span.service == consumer and span.kind is Kind.CONSUMER for span in evidence.spans)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.4g} %" if whole else "none"


def _line(name: str, text: str, style: str = "") -> Text:
    return Text().append(name.ljust(9), style="bold").append(text, style=style)
