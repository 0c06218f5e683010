"""Where traces are cut, and which service cut them, told from the spans alone.

Three signs. A span whose parent is missing: if the parent was in the same process, that service
lost its own span; if not, it was its caller's. A call that nobody answered: the service at that
address left no span. A request without the calls that its service makes for every other: they were
lost there. Who answers at which address, and who calls whom, the other traces of the run tell.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stream.demo.shop.seen import Kind, Seen

Traces = Mapping[str, Sequence[Seen]]
"""The spans of each trace, by its id in hex."""


class Sign(StrEnum):
    """By what a missing span is noticed."""

    PARENT = "a parent is missing"
    ANSWER = "a call has no answer"
    CALLS = "a request has no calls"


@dataclass(frozen=True, slots=True)
class Cut:
    """A sign in one trace that a span is missing. `service` lost it; empty if nobody can tell."""

    trace_id: str
    service: str
    sign: Sign
    told: str


@dataclass(frozen=True, slots=True)
class Known:
    """What all traces together tell: who is at an address, who makes calls, who calls whom."""

    service_at: Mapping[str, str]
    calling: frozenset[str]
    caller_of: Mapping[str, str]


def by_trace(spans: Iterable[Seen]) -> dict[str, list[Seen]]:
    """Return the spans of each trace; of several with one id, the first."""
    found: dict[str, dict[str, Seen]] = defaultdict(dict)
    for span in spans:
        found[span.trace_id].setdefault(span.span_id, span)
    return {trace_id: list(named.values()) for trace_id, named in found.items()}


def cuts_in(traces: Traces) -> list[Cut]:
    """Return every sign of a missing span, trace by trace."""
    known = _known(traces)
    return [cut for spans in traces.values() for cut in _signs(spans, known)]


def orphans_of(spans: Sequence[Seen]) -> list[Seen]:
    """Return the spans of a trace whose parent is missing."""
    here = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id and span.parent_id not in here]


def _signs(spans: Sequence[Seen], known: Known) -> Iterator[Cut]:
    children: dict[str, list[Seen]] = defaultdict(list)
    for span in spans:
        children[span.parent_id].append(span)
    for span in orphans_of(spans):
        lost = known.caller_of.get(span.service, "") if span.remote else span.service
        told = f"{span} {span.span_id} has a parent {span.parent_id} that is not there"
        yield Cut(span.trace_id, lost, Sign.PARENT, told)
    for span in spans:
        kinds = {child.kind for child in children[span.span_id]}
        if span.kind is Kind.CLIENT and Kind.SERVER not in kinds:
            callee = known.service_at.get(span.address, "")
            told = f"{span} {span.span_id} called {callee or span.address}, which left no span"
            yield Cut(span.trace_id, callee, Sign.ANSWER, told)
        if span.kind is Kind.SERVER and span.service in known.calling and Kind.CLIENT not in kinds:
            told = f"{span} {span.span_id} made no call, as it does in other traces"
            yield Cut(span.trace_id, span.service, Sign.CALLS, told)


def _known(traces: Traces) -> Known:
    service_at, caller_of, calling = {}, {}, set()
    for spans in traces.values():
        named = {span.span_id: span for span in spans}
        for span in spans:
            if span.kind is Kind.CLIENT:
                calling.add(span.service)
            if span.kind is Kind.SERVER and span.address:
                service_at[span.address] = span.service
            if span.remote and (parent := named.get(span.parent_id)):
                caller_of[span.service] = parent.service
    return Known(service_at, frozenset(calling), caller_of)
