"""Which generations may know a trace: a Bloom filter for each, looked up all at once.

Nearly every look-up in a decision store is for a trace never seen before, and RocksDB would be
asked once a generation. Here slot `i` is a byte whose bit `g` says that something in generation `g`
hashed to `i`; the AND of a trace's slots is the set of generations that may know it. Three slots a
trace and at least twelve slots a decision: about 1 in 100 is asked for in vain, a generation and
array.

It takes what is in it, since a worker may have hundreds of partitions with little to remember: what
is full is left as it is, and a larger array takes what comes. Both are looked up until the first
has been forgotten, so where decisions come steadily there is one.
"""

from stream.state.generations import GENERATIONS_MAX

_FIRST_SLOTS = 1 << 8
_GROWTH = 4
_SLOTS_PER_DECISION = 12
_LANE_BITS = bytes(range(1 << GENERATIONS_MAX))


class GenerationFilter:
    """Bloom filters of up to 8 generations, in arrays of which the last one takes what comes."""

    def __init__(self) -> None:
        self._arrays = [_Array(_FIRST_SLOTS)]

    def __len__(self) -> int:
        """Return its size in bytes."""
        return sum([len(array.slots) for array in self._arrays])

    def add(self, trace_id: bytes, lane: int) -> None:
        """Remember that this lane's generation knows the trace."""
        array = self._arrays[-1]
        if (array.counts[lane] + 1) * _SLOTS_PER_DECISION > len(array.slots):
            array = _Array(len(array.slots) * _GROWTH)
            self._arrays.append(array)
        array.counts[lane] += 1
        slots = array.slots
        bit = 1 << lane
        mask = len(slots) - 1
        first = hash(trace_id)
        step = (first >> 32) | 1
        slots[first & mask] |= bit
        slots[(first + step) & mask] |= bit
        slots[(first + step + step) & mask] |= bit

    def lanes(self, trace_id: bytes) -> int:
        """Return the lanes whose generation may know the trace, as a bitmask; 0 if none does."""
        lanes = 0
        first = hash(trace_id)
        for array in self._arrays:
            slots = array.slots
            mask = len(slots) - 1
            found = slots[first & mask]
            if found:
                step = (first >> 32) | 1
                lanes |= found & slots[(first + step) & mask] & slots[(first + step + step) & mask]
        return lanes

    def clear(self, lane: int) -> None:
        """Forget a whole lane."""
        keep = bytes(bits & ~(1 << lane) for bits in _LANE_BITS)
        for array in self._arrays:
            if array.counts[lane]:
                array.counts[lane] = 0
                array.slots = array.slots.translate(keep)
        last = self._arrays[-1]
        self._arrays = [one for one in self._arrays if any(one.counts)]
        wanted = _SLOTS_PER_DECISION * max(last.counts, default=0) * _GROWTH
        if not self._arrays or wanted * _GROWTH < len(last.slots) > _FIRST_SLOTS:
            self._arrays.append(_Array(_fitting(wanted)))


class _Array:
    """Slots, and how many decisions each lane has in them."""

    __slots__ = ("counts", "slots")

    def __init__(self, slots: int) -> None:
        self.slots = bytearray(slots)
        self.counts = [0] * GENERATIONS_MAX


def _fitting(slots: int) -> int:
    size = _FIRST_SLOTS
    while size < slots:
        size *= _GROWTH
    return size
