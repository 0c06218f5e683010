"""What a partition's promotions want read again, as one pass over its log, and how fast that goes.

A pass goes upwards once, whoever wants what: promotions that want neighbours share what is read,
and a giant, of which only a range of offsets is known, delays nobody whose records lie in it.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from stream.sampling.decision import decode_offsets
from stream.sampling.promotions import Found, Wanted
from stream.sampling.record import Record


@dataclass(slots=True)
class _Want:
    wanted: Wanted
    found: Found
    missing: set[int] = field(default_factory=set)
    held_bytes: int = 0
    is_over: bool = False


class Sweep:
    """One pass: `next` says where to read, `take` takes what was read, `end` says what was found.

    Where the bodies have more than `bytes_max`, it gives up those whose records lie highest, all
    but one: `deferred` are to be asked for again. One that has `trace_bytes_max` itself gets no
    more and is partial: a dropped trace whose spans never end would else take all memory.
    """

    def __init__(
        self, wanted: Iterable[Wanted], *, bytes_max: int, trace_bytes_max: int = 1 << 62
    ) -> None:
        self.deferred: list[Wanted] = []
        self._bytes_max = bytes_max
        self._trace_bytes_max = trace_bytes_max
        self._held_bytes = 0
        self._wants: dict[bytes, _Want] = {}
        self._at: defaultdict[int, list[_Want]] = defaultdict(list)
        self._ranges: list[tuple[int, int, _Want]] = []
        for one in wanted:
            self._add(_Want(one, Found(one.trace_id, one.first_offset)))
        self._offsets = sorted(self._at)
        self._highest_last = sorted(self._wants.values(), key=_last_offset)

    def next(self, position: int) -> int | None:
        """Return the lowest wanted offset from `position` on, None where there is none."""
        at = bisect_left(self._offsets, position)
        lowest = self._offsets[at : at + 1]
        lowest += [max(first, position) for first, last, _ in self._ranges if last >= position]
        return min(lowest, default=None)

    def gone_below(self, offset: int) -> None:
        """The log starts here by now: whoever looks through a range may have missed some of it."""
        for first, _, want in self._ranges:
            want.found.partial = want.found.partial or first < offset

    def take(self, records: Iterable[Record]) -> None:
        """Take records as they follow in the log, wanted or not."""
        for record in records:
            for want in self._wanting(record.offset):
                self._take(want, record)
        went = len(self._wants)
        while self._held_bytes > self._bytes_max and len(self._wants) > 1:
            self._defer(self._highest_last.pop())
        if len(self._wants) < went:
            self._forget_over()

    def end(self) -> list[Found]:
        """Return what was found for each that was not deferred."""
        for want in self._wants.values():
            want.found.partial = want.found.partial or bool(want.missing)
        return [want.found for want in self._wants.values()]

    def _add(self, want: _Want) -> None:
        self._wants[want.wanted.trace_id] = want
        offsets = want.wanted.offsets
        if isinstance(offsets, tuple):
            # Its ends are records of the trace; what lies between is found by looking.
            want.missing = set(offsets)
            self._ranges.append((*offsets, want))
            return
        want.missing = set(decode_offsets(offsets))
        for offset in want.missing:
            self._at[offset].append(want)

    def _wanting(self, offset: int) -> Sequence[_Want]:
        wanting = list(self._at.get(offset, ()))
        wanting += [want for first, last, want in self._ranges if first <= offset <= last]
        return wanting

    def _take(self, want: _Want, record: Record) -> None:
        if want.is_over:
            return
        for fragment in record.fragments:
            if fragment.trace_id == want.wanted.trace_id:
                want.found.fragments.append((record.offset, fragment, record.headers))
                want.missing.discard(record.offset)
                want.held_bytes += len(fragment.body)
                self._held_bytes += len(fragment.body)
        if want.held_bytes >= self._trace_bytes_max and record.offset < _last_offset(want):
            want.is_over = want.found.partial = True
            self._forget_over()

    def _defer(self, want: _Want) -> None:
        self.deferred.append(want.wanted)
        self._held_bytes -= want.held_bytes
        del self._wants[want.wanted.trace_id]
        want.is_over = True
        want.found.fragments.clear()

    def _forget_over(self) -> None:
        """Read no more for those that get no more: once, however many they are."""
        self._offsets = [
            offset for offset in self._offsets if not all(want.is_over for want in self._at[offset])
        ]
        self._ranges = [one for one in self._ranges if not one[2].is_over]


class Tokens:
    """A token bucket in records and in bytes a second; a second's worth fits.

    What was read is charged afterwards, for its size is not known before: so it goes into debt.
    Times are monotonic seconds.
    """

    def __init__(self, records_per_s: float, bytes_per_s: float, now_s: float) -> None:
        self._rates = records_per_s, bytes_per_s
        self._levels = records_per_s, bytes_per_s
        self._now_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait until more may be read; 0: not at all."""
        self._fill(now_s)
        owed = [-level / rate for level, rate in zip(self._levels, self._rates, strict=True)]
        return max(0.0, *owed)

    def charge(self, records: int, size: int, now_s: float) -> None:
        """So many records of so many bytes were read."""
        self._fill(now_s)
        self._levels = self._levels[0] - records, self._levels[1] - size

    def _fill(self, now_s: float) -> None:
        elapsed_s = max(0.0, now_s - self._now_s)
        self._now_s = now_s
        records, size = (
            min(rate, level + rate * elapsed_s)
            for level, rate in zip(self._levels, self._rates, strict=True)
        )
        self._levels = records, size


def _last_offset(want: _Want) -> int:
    offsets = want.wanted.offsets
    return offsets[1] if isinstance(offsets, tuple) else max(decode_offsets(offsets), default=0)
