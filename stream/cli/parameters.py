"""What commands take on their command line."""

import re

import click

from stream.settings.units import parse_duration

_TRACE_ID = re.compile(r"[0-9a-f]{32}")


class Duration(click.ParamType):
    """A duration above 0 as in the settings, to seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        try:
            seconds = parse_duration(str(value))
        except ValueError as problem:
            self.fail(f"{value!r} {problem}; write e.g. 90s, 30m or 24h", param, ctx)
        if seconds <= 0:
            self.fail(f"{value!r} is not above 0s; write e.g. 90s, 30m or 24h", param, ctx)
        return seconds


class TraceId(click.ParamType):
    """A trace id, to 32 lowercase hex digits; UUID's hyphens may be in it."""

    name = "trace id"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the hex digits."""
        trace_id = str(value).strip().replace("-", "").lower()
        if not _TRACE_ID.fullmatch(trace_id) or not int(trace_id, 16):
            self.fail(f"{value!r} is no trace id; write its 32 hex digits", param, ctx)
        return trace_id
