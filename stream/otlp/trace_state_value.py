"""One member of a W3C tracestate, as the Collector reads it (otel-go, `trace.ParseTraceState`).

Grammar: https://www.w3.org/TR/trace-context-2/#tracestate-header; a list of more than 32 members,
one with a key twice, or with any member that breaks the grammar, is none.
"""

import re
from typing import Final

from stream.otlp.tracestate import LIST_MEMBERS_MAX

_MEMBER: Final = re.compile(
    rb"[ \t]*([a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    rb"=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])[ \t]*"
)


def trace_state_value(trace_state: bytes, key: bytes) -> bytes | None:
    """Return the value of this key, empty if no member has it; None if it is no tracestate."""
    members: dict[bytes, bytes] = {}
    for text in trace_state.split(b","):
        if not text:
            continue
        member = _MEMBER.fullmatch(text)
        if member is None or member[1] in members or len(members) == LIST_MEMBERS_MAX:
            return None
        members[member[1]] = member[2]
    return members.get(key, b"")
