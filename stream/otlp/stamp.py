"""Stamp a span with the verdict: two attributes, and the sampling threshold in its tracestate."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from stream.otlp.tracestate import with_threshold
from stream.otlp.wire import LENGTH, Malformed, children, framed

POLICY_KEY: Final = b"tailstream.policy"
TRIGGER_KEY: Final = b"tailstream.trigger"
ATTRIBUTES_MAX: Final = 1_024
"""So many are remembered; there are as many as policies, times the few triggers."""
_KEYS: Final = (POLICY_KEY, TRIGGER_KEY)
_KEYS_PREFIX: Final = b"tailstream."

_TRACE_STATE: Final = 3 << 3 | LENGTH
_ATTRIBUTE: Final = 9 << 3 | LENGTH
_KEY_VALUE_KEY: Final = 1 << 3 | LENGTH
_KEY_VALUE_VALUE: Final = 2 << 3 | LENGTH
_STRING_VALUE: Final = 1 << 3 | LENGTH


@dataclass(slots=True)
class Stamp:
    """What a delivery writes on its spans.

    Nobody changes one. It is not frozen, because many traces need one each, and making a frozen one
    takes three times as long.

    `mode`: the attributes go on every span, on root spans, or nothing is written at all, not even a
    threshold. `threshold` is the 56-bit rejection threshold of a probabilistic verdict, 0 for none,
    `UNKNOWN_THRESHOLD` where nobody knows; it goes on every span, root or not, because each span
    counts for itself. `independent` and `randomness`: see `with_threshold`.
    """

    mode: Literal["spans", "root", "none"]
    policy: str
    trigger: str
    threshold: int = 0
    independent: bool = False
    randomness: int | None = None

    def attributes(self) -> bytes:
        """Return the two attributes as fields of a span, ready to be appended."""
        return _attributes(self.policy, self.trigger)


def stamp_span(span: bytes, stamp: Stamp, attributes: bytes, *, root: bool) -> bytes:
    """Return the span's content, stamped. `attributes` is `stamp.attributes()`, made once.

    Attributes of the same names are replaced: a span that came through a sampler before must not
    carry two. Every other field keeps its bytes and its place. Raises Malformed.
    """
    if stamp.mode == "none":
        return span
    if stamp.threshold:
        span = _with_threshold(span, stamp)
    if stamp.mode == "root" and not root:
        return span
    if _KEYS_PREFIX in span:
        span = _without_stamps(span)
    return span + attributes


@lru_cache(maxsize=ATTRIBUTES_MAX)
def _attributes(policy: str, trigger: str) -> bytes:
    return _string_attribute(POLICY_KEY, policy) + _string_attribute(TRIGGER_KEY, trigger)


def _with_threshold(span: bytes, stamp: Stamp) -> bytes:
    found = children(span, 0, len(span), _TRACE_STATE)
    # Protobuf has it that the last one is the span's tracestate.
    field_start, start, end = found[-1] if found else (len(span),) * 3
    before = span[start:end]
    after = with_threshold(
        before, stamp.threshold, independent=stamp.independent, randomness=stamp.randomness
    )
    if after == before:
        return span
    return span[:field_start] + framed(_TRACE_STATE, after) + span[end:]


def _without_stamps(span: bytes) -> bytes:
    kept = []
    position = 0
    for field_start, start, end in children(span, 0, len(span), _ATTRIBUTE):
        if _attribute_key(span, start, end) in _KEYS:
            kept.append(span[position:field_start])
            position = end
    return b"".join((*kept, span[position:]))


def _attribute_key(span: bytes, start: int, end: int) -> bytes:
    """Return an attribute's key; empty if it has none or is broken: attributes are opaque to us."""
    try:
        keys = children(span, start, end, _KEY_VALUE_KEY)
    except Malformed:
        return b""
    return span[keys[-1][1] : keys[-1][2]] if keys else b""


def _string_attribute(key: bytes, text: str) -> bytes:
    value = framed(_KEY_VALUE_VALUE, framed(_STRING_VALUE, text.encode()))
    return framed(_ATTRIBUTE, framed(_KEY_VALUE_KEY, key) + value)
