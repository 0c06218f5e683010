"""Scan a record once: ids, counts, time bounds, matched conditions. Never decodes a span."""

from dataclasses import dataclass

STATUS_UNSET, STATUS_OK, STATUS_ERROR = 0, 1, 2


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """The leaf conditions to look for, compiled: a bit for each.

    `status_bits[code]` is or-ed into the fragment's bits for a span with that status code
    (0 unset, 1 ok, 2 error; a code that OTLP does not define counts as unset).
    """

    status_bits: tuple[int, int, int] = (0, 0, 0)
