"""The traces that a Collector and Tailstream judge: made from a seed, the same everywhere.

`main` has every adversarial shape. `even` has traces that are all alike but for a class: where the
Collector's order is its own secret (a limit takes traces as a Go map yields them), how many of each
class are kept is not.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from tests.conformance.dice import Dice
from tests.conformance.shapes import BASE_NS, MS, dress, resource_of, scope_of, times_of

TRACES: Final = 2_000
SEED: Final = 158
EVEN_SPANS: Final = 5
CLASSES: Final = ("a", "b", "c", "d")
GIANT_SPANS: Final = 40
PADDING: Final = 600
"""Bytes by which a giant's span is larger, so that no other trace comes near its size."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Traces as the messages that bring them, in two phases, and what tells that they changed.

    `messages` come first; `late` ones come when policies that do not wait long have decided.
    `classes` has the class of each trace, "" where there are none.
    """

    trace_ids: tuple[bytes, ...]
    classes: tuple[str, ...]
    messages: tuple[TracesData, ...]
    late: tuple[TracesData, ...]

    @property
    def digest(self) -> str:
        """Return a hash of all bytes and their order, 16 hex digits."""
        digest = hashlib.sha256(b"".join(self.trace_ids))
        for phase in (self.messages, self.late):
            for message in phase:
                body = message.SerializeToString()
                digest.update(len(body).to_bytes(4, "big") + body)
            digest.update(b"|")
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _Piece:
    """One fragment of a trace: groups of spans, each with its resource and scope."""

    groups: tuple[ResourceSpans, ...]
    late: bool
    place: int


@cache
def corpus(name: str) -> Corpus:
    """Return a corpus by name."""
    return CORPORA[name]()


def _main() -> Corpus:
    dice = Dice(SEED)
    ids = [dice.octets(16) for _ in range(TRACES)]
    pieces = [
        piece for number, trace_id in enumerate(ids) for piece in _pieces(dice, number, trace_id)
    ]
    pieces.sort(key=lambda piece: piece.place)  # stable: fragments of a trace stay in their order
    early = [piece for piece in pieces if not piece.late]
    late = [piece for piece in pieces if piece.late]
    return Corpus(
        tuple(ids), ("",) * TRACES, tuple(_messages(dice, early)), tuple(_messages(dice, late))
    )


def _pieces(dice: Dice, number: int, trace_id: bytes) -> list[_Piece]:
    """Return the fragments of a trace, in the order they come."""
    giant = dice.percent(1)
    spans = _spans(dice, trace_id, GIANT_SPANS if giant else 1 + dice.below(8))
    if giant:
        for span in spans:
            span.attributes.add(key="padding", value=AnyValue(string_value="p" * PADDING))
    if dice.percent(30):
        spans = dice.shuffled(spans)
    parts = min(len(spans), dice.one_of((1, 1, 2, 2, 3, 4)))
    all_late = dice.percent(4)
    last_late = dice.percent(20)
    resources = [resource_of(dice) for _ in range(dice.one_of((1, 1, 2, 3)))]
    pieces = []
    for part in range(parts):
        first, behind = len(spans) * part // parts, len(spans) * (part + 1) // parts
        late = all_late or (last_late and parts > 1 and part == parts - 1)
        groups = _groups(dice, spans[first:behind], resources)
        pieces.append(_Piece(groups, late, number + part * dice.one_of((0, 3, 40))))
    return sorted(pieces, key=lambda piece: (piece.late, piece.place))


def _spans(dice: Dice, trace_id: bytes, count: int) -> list[Span]:
    at_ns = BASE_NS + dice.below(1_000) * MS
    ids = [dice.octets(8) for _ in range(count)]
    if count > 1 and dice.percent(5):
        ids[-1] = ids[0]  # a duplicate span id
    rooted = dice.below(20)  # 0, 1: no root; 2: two; 3: a parent of eight zeros; 4: the last one
    found = []
    for number, span_id in enumerate(ids):
        start_ns, end_ns = times_of(dice, at_ns)
        span = Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=dice.one_of(ids),
            start_time_unix_nano=start_ns,
            end_time_unix_nano=end_ns,
        )
        if number == (count - 1 if rooted == 4 else 0) and rooted > 1:
            span.parent_span_id = bytes(8) if rooted == 3 else b""
        if rooted == 2 and number == count - 1:
            span.parent_span_id = b""
        dress(span, dice)
        found.append(span)
    return found


def _groups(
    dice: Dice, spans: Sequence[Span], resources: Sequence[Resource | None]
) -> tuple[ResourceSpans, ...]:
    """Return spans in their order, in runs of one resource, some of them with several scopes."""
    groups: list[ResourceSpans] = []
    left = list(spans)
    while left:
        run, left = left[: (many := 1 + dice.below(4))], left[many:]
        group = ResourceSpans(resource=dice.one_of(resources))
        cut = dice.below(len(run)) if dice.percent(30) else 0
        for part in filter(None, (run[:cut], run[cut:])):
            group.scope_spans.append(ScopeSpans(scope=scope_of(dice), spans=part))
        groups.append(group)
    return tuple(groups)


def _messages(dice: Dice, pieces: Sequence[_Piece]) -> Iterable[TracesData]:
    """Yield messages: of one fragment, or of several traces, some in one scope of one resource."""
    left = list(pieces)
    left.reverse()
    while left:
        taken = [left.pop() for _ in range(min(len(left), dice.one_of((1, 1, 1, 2, 4))))]
        message = TracesData(resource_spans=[group for piece in taken for group in piece.groups])
        if len(taken) > 1 and dice.percent(40):
            message = _mingled(message)
        yield message


def _mingled(message: TracesData) -> TracesData:
    """Return its spans, each after one of the other half: traces alternate within one resource."""
    first = message.resource_spans[0]
    spans = [
        span
        for group in message.resource_spans
        for scope_spans in group.scope_spans
        for span in scope_spans.spans
    ]
    half = -(-len(spans) // 2)
    order = [spans[at] for low in range(half) for at in (low, low + half) if at < len(spans)]
    scope = ScopeSpans(scope=first.scope_spans[0].scope, spans=order)
    return TracesData(resource_spans=[ResourceSpans(resource=first.resource, scope_spans=[scope])])


def _even() -> Corpus:
    dice = Dice(SEED + 1)
    ids = [dice.octets(16) for _ in range(TRACES)]
    classes = [dice.one_of(CLASSES) for _ in ids]
    messages = [
        _even_trace(dice, trace_id, its) for trace_id, its in zip(ids, classes, strict=True)
    ]
    return Corpus(tuple(ids), tuple(classes), tuple(messages), ())


def _even_trace(dice: Dice, trace_id: bytes, its_class: str) -> TracesData:
    """Return a trace of the same number of bytes as any other, here and in the Collector.

    Its encoder always writes resource, scope, status and parent: so they are there.
    """
    spans = []
    for number in range(EVEN_SPANS):
        span = Span(trace_id=trace_id, span_id=dice.octets(8), name=f"step {number}")
        span.parent_span_id = dice.octets(8)
        span.start_time_unix_nano, span.end_time_unix_nano = BASE_NS, BASE_NS + 10 * MS
        span.attributes.add(key="class", value=AnyValue(string_value=its_class))
        span.status.SetInParent()
        spans.append(span)
    pairs = [KeyValue(key="service.name", value=AnyValue(string_value="gateway"))]
    scope = ScopeSpans(scope=InstrumentationScope(name="even"), spans=spans)
    group = ResourceSpans(resource=Resource(attributes=pairs), scope_spans=[scope])
    return TracesData(resource_spans=[group])


CORPORA: Final = MappingProxyType[str, Callable[[], Corpus]]({"main": _main, "even": _even})
