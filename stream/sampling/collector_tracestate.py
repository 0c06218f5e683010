"""What a tracestate tells of sampling, as the Collector v0.158 reads it.

For `compatibility: collector`. contrib, pkg/sampling: w3ctracestate.go, oteltracestate.go. Other
than in `otlp/tracestate.py`, `rv` and `th` may be written with capital letters and several times,
the last one counts, and so does the last of several members `ot`; 31 members are the most, and 1024
bytes.
"""

import re
from functools import lru_cache
from typing import Final

TRACE_STATE_BYTES_MAX: Final = 1_024
MEMBERS_MAX: Final = 31
OT_VALUE_BYTES_MAX: Final = 256

_BLANKS: Final = b" \t"
_MEMBER: Final = re.compile(
    rb"([a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    rb"=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
_SUBKEY: Final = re.compile(rb"([a-z][a-z0-9]*):([A-Za-z0-9._\-]*)")
_TH: Final = re.compile(rb"[0-9a-fA-F]{1,14}")
_RV: Final = re.compile(rb"[0-9a-fA-F]{14}")


@lru_cache(maxsize=1_024)
def sampling_as_collector(trace_state: bytes) -> tuple[bool, int | None]:
    """Return whether a span's tracestate tells of sampling, and its randomness `rv`, 56 bits.

    Nothing of one that breaks the grammar anywhere.
    """
    found: tuple[bool, int | None] = (False, None)
    texts = trace_state.removesuffix(b",").split(b",")
    if len(trace_state) > TRACE_STATE_BYTES_MAX or len(texts) > MEMBERS_MAX:
        return found
    for text in filter(None, (text.strip(_BLANKS) for text in texts)):
        member = _MEMBER.fullmatch(text)
        subkeys = _subkeys(member[2]) if member and member[1] == b"ot" else {}
        if member is None or subkeys is None:
            return False, None
        if member[1] == b"ot":
            rv = subkeys.get(b"rv")
            found = bool(subkeys.keys() & {b"rv", b"th"}), None if rv is None else int(rv, 16)
    return found


def _subkeys(ot_value: bytes) -> dict[bytes, bytes] | None:
    """Return the subkeys of an `ot` member, of several with one name the last; None: malformed."""
    if len(ot_value) > OT_VALUE_BYTES_MAX:
        return None
    subkeys: dict[bytes, bytes] = {}
    for text in ot_value.split(b";"):
        match = _SUBKEY.fullmatch(text)
        if match is None:
            return None
        wanted = {b"rv": _RV, b"th": _TH}.get(match[1])
        if wanted is not None and not wanted.fullmatch(match[2]):
            return None
        subkeys[match[1]] = match[2]
    return subkeys
