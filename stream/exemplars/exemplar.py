"""What is known of an exemplar: the trace that it points at, and when it was measured."""

import re
from binascii import unhexlify
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

TRACE_ID_BYTES: Final = 16
NO_TRACE: Final = bytes(TRACE_ID_BYTES)
SECONDS_MAX: Final = 1e12
"""The year 33658."""

_HEX_DIGITS: Final = 2 * TRACE_ID_BYTES
_WRITTEN: Final = re.compile(rf"[0-9a-fA-F]{{16,{_HEX_DIGITS}}}")


class Exemplar(NamedTuple):
    """`trace_id` as it came: good ones have 16 bytes, not all zero; empty: outside of any trace.

    `time_ms` is when it was measured, in Unix milliseconds; None where it does not say.
    """

    trace_id: bytes
    time_ms: int | None


def trace_id_of(labels: Mapping[str, str], names: Sequence[str]) -> bytes:
    """Return the trace id of an exemplar in text form, from the first label of these names.

    Ids of 64 bits have 16 digits, and Tempo's metrics-generator leaves leading zeros away
    (TraceIDToHexString, grafana/tempo pkg/util/traceid.go), so zeros are put before what is
    shorter than 32 digits. What is no id at all becomes `NO_TRACE`, no label becomes nothing.
    """
    for name in names:
        written = labels.get(name)
        if written:
            found = _WRITTEN.fullmatch(written)
            return unhexlify(written.zfill(_HEX_DIGITS)) if found else NO_TRACE
    return b""


def time_ms_of(seconds: object) -> int | None:
    """Return Unix seconds in text form as milliseconds; None where they are none."""
    if not isinstance(seconds, int | float) or not 0 < seconds < SECONDS_MAX:
        return None
    return round(seconds * 1000)
