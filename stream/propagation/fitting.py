"""Encodes spans or data points into values that fit a message, whatever one of them is like."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from stream.propagation.export_counts import DropReason
from stream.propagation.record import Record, Unfit

Row = TypeVar("Row")


def fitting_records(
    key: bytes | None,
    rows: Sequence[Row],
    encode: Callable[[Sequence[Row]], bytes],
    value_bytes_max: int,
) -> Iterator[Record | Unfit]:
    """Yield records that hold all rows, in order, each value of `value_bytes_max` at most.

    Halved until it fits. A single row that does not, or that cannot be encoded (a text that is no
    Unicode, say), is Unfit in its place; its neighbours are not lost with it.
    """
    try:
        value = encode(rows)
    except Exception as problem:  # noqa: BLE001 - whatever an encoder raises: the application goes on
        unfit = Unfit(DropReason.NOT_ENCODABLE, str(problem))
    else:
        if len(value) <= value_bytes_max:
            yield Record(key, value, len(rows))
            return
        unfit = Unfit(DropReason.TOO_LARGE, f"{len(value)} bytes of at most {value_bytes_max}")
    if len(rows) == 1:
        yield unfit
        return
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        yield from fitting_records(key, part, encode, value_bytes_max)
