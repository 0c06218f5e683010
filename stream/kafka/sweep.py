"""What promotions want read again, how far that has come, and a pass over a partition's log.

A pass goes upwards once, whoever wants what: promotions that want neighbours share what is read.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stream.sampling.decision import decode_offsets
from stream.sampling.promotions import Found, Wanted
from stream.sampling.record import Record

SKIP_OFFSETS_MIN = 200
"""A gap between wanted records is read through unless it is this large: to begin anew elsewhere
takes a request and what was fetched ahead, about what so many records cost."""

END = 1 << 62
"""Above every offset."""

Stretch = tuple[int, int]
"""(first, last) offsets of what is read without beginning anew."""


@dataclass(slots=True)
class Turn:
    """What may be read before it is others' turn: records, bytes, and bytes of wanted bodies.

    The first read fits always, and may go over.
    """

    records: float
    bytes: float
    bodies_bytes: float

    @property
    def is_over(self) -> bool:
        """Whether something of it is used up."""
        return min(self.records, self.bytes, self.bodies_bytes) <= 0


class Want:
    """What a promotion wants read again of partition `number`, and what was found of it so far.

    `next` is the lowest offset that is still to be read, `END` where there is none; `cost` is about
    how many records it takes to read the rest.
    """

    def __init__(self, number: int, wanted: Wanted) -> None:
        self.number = number
        self.wanted = wanted
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was found."""
        self.found = Found(self.wanted.trace_id, self.wanted.first_offset)
        self.held_bytes = 0
        self.is_over = False
        self._position = 0
        self.read_upto(0)

    def read_upto(self, position: int) -> None:
        """All that is wanted below `position` was read."""
        self._position = max(self._position, position)
        stretches = self.stretches()
        self.next = stretches[0][0] if stretches else END
        self.cost = cost_of(stretches)

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing more to read."""
        return self.is_over or self.next == END

    def stretches(self) -> list[Stretch]:
        """Return what is still to be read."""
        offsets = self.wanted.offsets
        if isinstance(offsets, tuple):
            first, last = offsets
            return [(max(first, self._position), last)] if last >= self._position else []
        return joined((offset, offset) for offset in self.offsets())

    def offsets(self) -> list[int]:
        """Return those still to be read that are known to hold the trace."""
        offsets = self.wanted.offsets
        known = offsets if isinstance(offsets, tuple) else decode_offsets(offsets)
        return [offset for offset in known if offset >= self._position]

    def whole(self) -> Found:
        """Return what was found, now that there is nothing more to read."""
        known = self.wanted.offsets
        listed = known if isinstance(known, tuple) else decode_offsets(known)
        missing = set(listed).difference(offset for offset, *_ in self.found.fragments)
        self.found.partial = self.found.partial or bool(missing)
        return self.found


class Sweep:
    """One pass: `next` says where to read, `take` takes what was read, `end` says that it is over.

    It is over when all is read or its turn is; what one of them has not whole then goes on from
    there in another pass. One that has `trace_bytes_max` gets no more and is partial: a dropped
    trace whose spans never end would else take all memory.
    """

    def __init__(
        self, wants: Sequence[Want], turn: Turn, *, trace_bytes_max: int = 1 << 62
    ) -> None:
        self._wants = wants
        self._turn = turn
        self._trace_bytes_max = trace_bytes_max
        self._position = 0
        self._at: defaultdict[int, list[Want]] = defaultdict(list)
        self._ranges: list[tuple[int, int, Want]] = []
        for want in wants:
            if isinstance(want.wanted.offsets, tuple):
                self._ranges += [(first, last, want) for first, last in want.stretches()]
                continue
            for offset in want.offsets():
                self._at[offset].append(want)
        self._lay_out()

    def next(self) -> int | None:
        """Return the offset from which to read on, None where the pass is over."""
        while self._stretches and self._stretches[0][1] < self._position:
            self._stretches.popleft()
        if not self._stretches or self._turn.is_over:
            return None
        return max(self._stretches[0][0], self._position)

    def gone_below(self, offset: int) -> None:
        """The log starts here by now: whoever looks through a range may have missed some of it."""
        for first, _, want in self._ranges:
            want.found.partial = want.found.partial or first < offset

    def take(self, records: Sequence[Record], *, size: int, position: int) -> None:
        """Take records as they follow in the log, wanted or not, and where the next one lies."""
        self._turn.records -= len(records)
        self._turn.bytes -= size
        over = [
            want
            for record in records
            for want in self._wanting(record.offset)
            if self._take(want, record)
        ]
        self._position = position
        if over:
            self._lay_out()

    def end(self) -> None:
        """The pass is over: each of them has been read up to here."""
        for want in self._wants:
            want.read_upto(self._position)

    def _lay_out(self) -> None:
        """Read no more for those that get no more."""
        going_on = [want for want in self._wants if not want.is_over]
        self._stretches = deque(joined(one for want in going_on for one in want.stretches()))

    def _wanting(self, offset: int) -> Sequence[Want]:
        wanting = list(self._at.get(offset, ()))
        wanting += [want for first, last, want in self._ranges if first <= offset <= last]
        return wanting

    def _take(self, want: Want, record: Record) -> bool:
        """Return whether it gets no more now."""
        if want.is_over:
            return False
        for fragment in record.fragments:
            if fragment.trace_id == want.wanted.trace_id:
                want.found.fragments.append((record.offset, fragment, record.headers))
                want.held_bytes += len(fragment.body)
                self._turn.bodies_bytes -= len(fragment.body)
        if want.held_bytes >= self._trace_bytes_max and record.offset < _last_offset(want):
            want.is_over = want.found.partial = True
        return want.is_over


def joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Put those together that lie so near that what lies between is read, too; ascending."""
    found: list[Stretch] = []
    for first, last in sorted(stretches):
        if found and first < found[-1][1] + SKIP_OFFSETS_MIN:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return found


def cost_of(stretches: Iterable[Stretch]) -> int:
    """Return about how many records it takes to read these, a new beginning for each."""
    return sum(last - first + SKIP_OFFSETS_MIN for first, last in stretches)


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


def _last_offset(want: Want) -> int:
    offsets = want.wanted.offsets
    return offsets[1] if isinstance(offsets, tuple) else max(decode_offsets(offsets), default=0)
