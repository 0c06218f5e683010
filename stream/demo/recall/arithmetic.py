"""What each way of sampling carries, and what it sees of rare errors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stream.demo.recall.checkout import Checkout
from stream.demo.recall.checkouts import ERROR_SHARE
from stream.demo.recall.head import SHARE, is_head_kept
from stream.demo.recall.tail import Ran

DAY_S = 86_400
GB = 1e9


@dataclass(frozen=True, slots=True)
class Row:
    """One way: spans a second, bytes a day, and traces with an error seen, of so many."""

    name: str
    spans_per_s: float
    bytes_per_day: float
    errors: int
    errors_of: int


def rows(checkouts: Sequence[Checkout], per_s: float, ran: Ran) -> list[Row]:
    """Return offered, kept at the head, kept at the tail: bytes as they lie in Kafka, unpacked."""
    lasted_s = len(checkouts) / per_s
    failed = [each for each in checkouts if each.failed]
    at_head = [each for each in checkouts if is_head_kept(each)]

    def row(name: str, spans: int, size: int, errors: int) -> Row:
        return Row(name, spans / lasted_s, size / lasted_s * DAY_S, errors, len(failed))

    return [
        row("offered", _spans(checkouts), sum(each.bytes for each in checkouts), len(failed)),
        row(
            f"head, {SHARE * 100:g} %",
            _spans(at_head),
            sum(each.bytes for each in at_head),
            sum(each.failed for each in at_head),
        ),
        row(
            "tail",
            sum(len(ran.evidence.span_ids(trace_id)) for trace_id in ran.evidence.output),
            ran.evidence.output_bytes,
            sum(map(ran.evidence.is_kept, failed)),
        ),
    ]


def lines(table: Sequence[Row]) -> Iterator[str]:
    """Yield the table, and the sentence about rare errors."""
    yield f"{'':<10} {'spans/s':>9} {'GB/day':>9}   errors seen"
    for row in table:
        yield (
            f"{row.name:<10} {row.spans_per_s:>9,.1f} {row.bytes_per_day / GB:>9,.2f}   "
            f"{row.errors:,} of {row.errors_of:,}"
        )
    seen_by_head, seen_by_tail = round(1 / (SHARE * ERROR_SHARE)), round(1 / ERROR_SHARE)
    yield (
        f"the head sees an error in 1 of {seen_by_head:,} checkouts ({SHARE * 100:g} % of "
        f"{ERROR_SHARE * 100:g} %), the tail in 1 of {seen_by_tail:,}: every one"
    )


def _spans(checkouts: Sequence[Checkout]) -> int:
    return sum(len(each.span_ids) for each in checkouts)
