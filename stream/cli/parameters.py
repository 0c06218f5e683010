"""What commands take on their command line."""

import re
from typing import Final

import click

from stream.settings.units import parse_duration

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""


class Duration(click.ParamType):
    """Seconds above 0, written as in the settings."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        try:
            seconds = parse_duration(str(value))
        except ValueError as problem:
            self.fail(f"{value!r} {problem}; write e.g. 90s, 30m or 24h", param, ctx)
        if seconds <= 0:
            self.fail(f"{value!r} is not above 0s; write e.g. 90s, 30m or 24h", param, ctx)
        return seconds


class TraceId(click.ParamType):
    """A trace's id as 32 lowercase hex digits."""

    name = "trace id"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the digits."""
        trace_id = trace_id_of(str(value))
        if trace_id is None:
            self.fail(f"{value!r} is no trace id; write its 32 hex digits", param, ctx)
        return trace_id


def trace_id_of(text: str) -> str | None:
    """Return the 32 lowercase hex digits of a trace id, None where there is none in the text.

    Taken are the digits in either case, with dashes as in a UUID, and a whole traceparent.
    """
    lower = text.strip().lower()
    traceparent = _TRACEPARENT.fullmatch(lower)
    trace_id = traceparent.group(1) if traceparent else lower.replace("-", "")
    return trace_id if _TRACE_ID.fullmatch(trace_id) and int(trace_id, 16) else None
