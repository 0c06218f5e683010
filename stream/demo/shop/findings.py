"""What a run of the shop shows: whole trees, linked hops, true thresholds, or what is wrong."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stream.demo.shop.cuts import Cut, cuts_in, orphans_of
from stream.demo.shop.evidence import Evidence, Reply
from stream.demo.shop.fate import Fate
from stream.demo.shop.payment import BAD_GATEWAY, OK
from stream.demo.shop.run import CUT, REST, Shop
from stream.demo.shop.samplers import randomness
from stream.demo.shop.seen import Seen
from stream.demo.shop.service import HTTP_PATH
from stream.otlp.tracestate import sampling_of
from stream.sampling.policies.probabilistic import rejection_threshold

STATUSES = {Fate.PAID: OK, Fate.SLOW: OK, Fate.REFUSED: BAD_GATEWAY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The counts of a run. Faults are told in words, in `faults`; none after a good one.

    `sampled` checkouts were kept at their head; `unbroken` of these are one tree over HTTP.
    `orphans` are spans whose parent is missing. `hops` over the queue have to leave a link,
    `linked` did. `culprits`: by service, how many traces it cut. `raised` spans left the tail with
    a threshold above the head's, `left` with the head's own.
    """

    requests: int
    fates: Counter[Fate]
    sampled: int
    unbroken: int
    orphans: int
    messages: int
    hops: int
    linked: int
    cuts: list[Cut]
    culprits: Counter[str]
    kept_by: Counter[str]
    raised: int
    left: int
    faults: list[str]


def findings(evidence: Evidence, shop: Shop) -> Findings:
    """Judge a run by what it left in Kafka."""
    traces = evidence.traces
    cuts = cuts_in(traces)
    cut = {each.trace_id for each in cuts}
    sampled = [reply for reply in evidence.replies if reply.sampled]
    hops, unlinked = list(evidence.hops()), list(evidence.unlinked())
    culprits = Counter(service for _, service in {(each.trace_id, each.service) for each in cuts})
    thresholds = _thresholds(evidence, shop)
    found = Findings(
        requests=len(evidence.replies),
        fates=Counter(reply.fate for reply in evidence.replies),
        sampled=len(sampled),
        unbroken=sum(
            reply.trace_id not in cut and is_one_tree(traces.get(reply.trace_id, []))
            for reply in sampled
        ),
        orphans=sum(len(orphans_of(spans)) for spans in traces.values()),
        messages=len(evidence.messages),
        hops=len(hops),
        linked=len(hops) - len(unlinked),
        cuts=cuts,
        culprits=culprits,
        kept_by=evidence.kept_by(),
        raised=thresholds["raised"],
        left=thresholds["left"],
        faults=[],
    )
    told = [*_faults(found, shop), *_lost(evidence, cut), *_head_faults(evidence, shop)]
    if thresholds["wrong"]:
        told.append(f"{thresholds['wrong']:,} kept spans have another ot=th than they should")
    found.faults.extend(told)
    return found


def is_one_tree(spans: Sequence[Seen]) -> bool:
    """Tell whether a checkout's spans are one tree that goes all the way over HTTP."""
    roots = [span for span in spans if not span.parent_id]
    services = {span.service for span in spans}
    return len(roots) == 1 and not orphans_of(spans) and services.issuperset(HTTP_PATH)


def threshold_of(span: Seen) -> int | None:
    """Return the sampling threshold in its tracestate, 56 bits; None without one."""
    return sampling_of(span.trace_state.encode())[0]


def _faults(found: Findings, shop: Shop) -> Iterator[str]:
    if found.linked < found.hops:
        yield f"{found.hops - found.linked:,} of {found.hops:,} hops over the queue without a link"
    if shop.broken is not None:
        if set(found.culprits) != {shop.broken}:
            named = ", ".join(sorted(found.culprits)) or "nobody"
            yield f"{shop.broken} was made to cut traces, the spans tell of {named}"
        return
    if found.unbroken < found.sampled:
        yield f"{found.sampled - found.unbroken:,} of {found.sampled:,} trees are broken"
    if found.orphans:
        yield f"{found.orphans:,} orphans"
    if found.cuts:
        yield f"{len(found.cuts):,} signs of missing spans, the first: {found.cuts[0].told}"
    if found.kept_by[CUT]:
        yield f"{found.kept_by[CUT]:,} traces were incomplete when they were decided on"


def _lost(evidence: Evidence, cut: set[str]) -> Iterator[str]:
    """Yield what was lost on the way, or answered as it should not."""
    answers = [each for each in evidence.replies if each.status != STATUSES[each.fate]]
    if answers:
        yield f"{len(answers):,} checkouts were answered with another status than they should"
    if evidence.dropped:
        yield f"the services' exporters dropped {evidence.dropped:,} spans"
    if evidence.dead_letters:
        yield f"{evidence.dead_letters:,} dead letters"
    traces = evidence.traces
    for trace_id, spans in evidence.kept.items():
        if {span.span_id for span in spans} != {span.span_id for span in traces[trace_id]}:
            yield f"the kept trace {trace_id} is not whole"
    forgotten = [each for each in evidence.replies if not _is_kept_if_it_must(evidence, each, cut)]
    if forgotten:
        yield f"{len(forgotten):,} checkouts that failed or were slow are not kept"


def _is_kept_if_it_must(evidence: Evidence, reply: Reply, cut: set[str]) -> bool:
    must = reply.sampled and reply.fate is not Fate.PAID and reply.trace_id not in cut
    return not must or reply.trace_id in evidence.kept


def _head_faults(evidence: Evidence, shop: Shop) -> Iterator[str]:
    if shop.head_rate is None:
        return
    threshold = rejection_threshold(shop.head_rate * 100)
    chosen = {
        each: randomness(int(each.trace_id, 16), b"") >= threshold for each in evidence.replies
    }
    wrong = sum(each.sampled is not kept for each, kept in chosen.items())
    if wrong:
        yield f"the head sampler chose {wrong:,} traces against their randomness"
    traces = evidence.traces
    spans = [span for each in evidence.replies for span in traces.get(each.trace_id, [])]
    untold = sum(threshold_of(span) != threshold for span in spans)
    if untold:
        yield f"{untold:,} spans do not have the head's ot=th"


def _thresholds(evidence: Evidence, shop: Shop) -> Counter[str]:
    """Return of the kept spans how many were `raised`, `left` or got a `wrong` threshold."""
    if shop.head_rate is None:
        return Counter()
    tail = rejection_threshold(shop.rest_percent)
    before = {span.id: threshold_of(span) for span in evidence.spans}
    found: Counter[str] = Counter()
    for trace_id, spans in evidence.kept.items():
        by_share = evidence.decisions[trace_id].policy == REST
        for span in spans:
            head, now = before[span.id], threshold_of(span)
            right = now == (max(tail, head or 0) if by_share else head)
            found[("raised" if now != head else "left") if right else "wrong"] += 1
    return found
