"""The sampling threshold in a W3C tracestate: `ot=th:<hex>`.

Grammar of the list: https://www.w3.org/TR/trace-context-2/#tracestate-header. Of the `ot` member:
https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/. Meaning of `th`:
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/.
"""

import re
from functools import lru_cache
from typing import Final

LIST_MEMBERS_MAX: Final = 32
OT_VALUE_BYTES_MAX: Final = 256
THRESHOLD_HEX_DIGITS: Final = 14
RANDOM_BYTES: Final = 7
THRESHOLD_MAX: Final = (1 << 56) - 1
THRESHOLD_LIMIT: Final = 1 << 56
UNKNOWN_THRESHOLD: Final = THRESHOLD_LIMIT
"""No threshold there can be: the probability with which a trace was kept is not known."""

_MEMBER: Final = re.compile(
    rb"([a-z0-9][a-z0-9_\-*/@]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
_SUBKEY: Final = re.compile(rb"([a-z][a-z0-9]*):([A-Za-z0-9._\-]*)")
_TH: Final = re.compile(rb"[0-9a-f]{1,14}")
_RV: Final = re.compile(rb"[0-9a-f]{14}")
_BLANKS: Final = b" \t"


def with_threshold(
    trace_state: bytes,
    threshold: int,
    *,
    independent: bool = False,
    randomness: int | None = None,
) -> bytes:
    """Return the tracestate of a span that was kept with this threshold, which is above 0.

    `UNKNOWN_THRESHOLD` erases `th`. A choice that was `independent` of the trace's randomness
    multiplies with the one that `th` tells of, for a span stands for as many as both say; one by
    that randomness needs the higher threshold of the two. Where `th` is above that randomness (the
    span's `rv`, else `randomness`, that of its trace id) it did not choose the span: a lie, with
    which nobody knows the probability, so it is erased, as contrib's `probabilistic_sampler` does.
    """
    if threshold == UNKNOWN_THRESHOLD:
        return erase_threshold(trace_state)
    before, explicit = sampling_of(trace_state)
    if independent:
        left = (THRESHOLD_LIMIT - (before or 0)) * (THRESHOLD_LIMIT - threshold)
        threshold = min(THRESHOLD_LIMIT - (left >> 56), THRESHOLD_MAX)
    elif before is not None:
        chosen_by = randomness if explicit is None else explicit
        if chosen_by is not None and chosen_by < before:
            return erase_threshold(trace_state)
    return raise_threshold(trace_state, threshold)


def erase_threshold(trace_state: bytes) -> bytes:
    """Return the tracestate without `ot=th`: what it said is no longer true.

    Left as it was where there is none, or it cannot be parsed, so that nobody can read one.
    """
    members = _members(trace_state)
    ours = [value for key, value in members or () if key == b"ot"]
    subkeys = _subkeys(ours[0]) if len(ours) == 1 else None
    if members is None or subkeys is None or b"th" not in subkeys:
        return trace_state
    value = b";".join([k + b":" + v for k, v in subkeys.items() if k != b"th"])
    others = [key + b"=" + value for key, value in members if key != b"ot"]
    return b",".join([b"ot=" + value, *others] if value else others)


def randomness_of(trace_id: bytes) -> int:
    """Return a trace id's randomness: its last 56 bits (W3C trace context, level 2)."""
    return int.from_bytes(trace_id[-RANDOM_BYTES:])


@lru_cache(maxsize=1_024)
def sampling_of(trace_state: bytes) -> tuple[int | None, int | None]:
    """Return a span's sampling threshold `th` and its randomness `rv`, 56 bits each; None: unset.

    Both None for a tracestate that breaks the grammar, and one with several `ot` members.
    """
    ours = [value for key, value in _members(trace_state) or () if key == b"ot"]
    subkeys = _subkeys(ours[0]) if len(ours) == 1 else None
    if subkeys is None:
        return None, None
    rv = subkeys.get(b"rv")
    return (
        _threshold(subkeys) if b"th" in subkeys else None,
        None if rv is None else int(rv, 16),
    )


def raise_threshold(trace_state: bytes, threshold: int) -> bytes:
    """Return the tracestate with `ot=th` at least `threshold`, an integer of 56 bits above 0.

    The `ot` member moves to the left and keeps its other subkeys; other members stay. Left as it
    was: one whose threshold is as high already, one that cannot be parsed, and one that would grow
    beyond 32 members or an `ot` value of 256 bytes.
    """
    assert 0 < threshold <= THRESHOLD_MAX
    members = _members(trace_state)
    if members is None:
        return trace_state
    ours = [value for key, value in members if key == b"ot"]
    subkeys = _subkeys(ours[0]) if ours else {}
    if len(ours) > 1 or subkeys is None or _threshold(subkeys) >= threshold:
        return trace_state
    value = b";".join(
        [_th_subkey(threshold), *(k + b":" + v for k, v in subkeys.items() if k != b"th")]
    )
    others = [key + b"=" + value for key, value in members if key != b"ot"]
    if len(others) >= LIST_MEMBERS_MAX or len(value) > OT_VALUE_BYTES_MAX:
        return trace_state
    return b",".join([b"ot=" + value, *others])


def _members(trace_state: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return the list's (key, value) pairs, None if any breaks the grammar. Empty ones go."""
    texts = [text.strip(_BLANKS) for text in trace_state.split(b",")]
    matches = [_MEMBER.fullmatch(text) for text in texts if text]
    members = [(match[1], match[2]) for match in matches if match]
    if len(members) != len(matches):
        return None
    return members


def _subkeys(ot_value: bytes) -> dict[bytes, bytes] | None:
    """Return the subkeys of an `ot` member in their order, None if they break the grammar."""
    texts = ot_value.split(b";")
    subkeys = {match[1]: match[2] for match in map(_SUBKEY.fullmatch, texts) if match}
    if len(subkeys) != len(texts):
        return None
    if not _TH.fullmatch(subkeys.get(b"th", b"0")):
        return None
    if not _RV.fullmatch(subkeys.get(b"rv", b"0" * THRESHOLD_HEX_DIGITS)):
        return None
    return subkeys


def _threshold(subkeys: dict[bytes, bytes]) -> int:
    """Return the threshold so far; -1 without one. Its hex digits are padded on the right."""
    digits = subkeys.get(b"th")
    return -1 if digits is None else int(digits.ljust(THRESHOLD_HEX_DIGITS, b"0"), 16)


def _th_subkey(threshold: int) -> bytes:
    # Padded on the left before the zeros on the right go: 0x08... is `08`, not `8`.
    return b"th:" + (b"%014x" % threshold).rstrip(b"0")
