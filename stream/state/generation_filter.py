"""Which generations may know a trace: a Bloom filter for each, looked up all at once.

Nearly every look-up in a decision store is for a trace never seen before, and RocksDB would be
asked once a generation. Here slot `i` is a byte whose bit `g` says that something in generation `g`
hashed to `i`; the AND of a trace's slots is the set of generations that may know it. Three slots a
trace and at least twelve slots a decision: about 1 in 100 is asked for in vain, a generation; more
in the one during which the array grew, since doubling does not thin out what is there.
"""

from stream.state.generations import GENERATIONS_MAX

_FIRST_SLOTS = 1 << 16
_SLOTS_PER_DECISION = 12
_LANE_BITS = bytes(range(1 << GENERATIONS_MAX))


class GenerationFilter:
    """Bloom filters of up to 8 generations in one array that doubles as they grow."""

    def __init__(self) -> None:
        self._slots = bytearray(_FIRST_SLOTS)
        self._counts = [0] * GENERATIONS_MAX

    def __len__(self) -> int:
        """Return its size in bytes."""
        return len(self._slots)

    def add(self, trace_id: bytes, lane: int) -> None:
        """Remember that this lane's generation knows the trace."""
        self._counts[lane] += 1
        if self._counts[lane] * _SLOTS_PER_DECISION > len(self._slots):
            # An index is a hash modulo a power of two, so one of twice the size is either the old
            # index or that plus the old size: two copies side by side answer as the old one did.
            self._slots = self._slots + self._slots
        slots = self._slots
        bit = 1 << lane
        mask = len(slots) - 1
        first = hash(trace_id)
        step = (first >> 32) | 1
        slots[first & mask] |= bit
        slots[(first + step) & mask] |= bit
        slots[(first + step + step) & mask] |= bit

    def lanes(self, trace_id: bytes) -> int:
        """Return the lanes whose generation may know the trace, as a bitmask; 0 if none does."""
        slots = self._slots
        mask = len(slots) - 1
        first = hash(trace_id)
        found = slots[first & mask]
        if not found:
            return 0
        step = (first >> 32) | 1
        return found & slots[(first + step) & mask] & slots[(first + step + step) & mask]

    def clear(self, lane: int) -> None:
        """Forget a whole lane."""
        keep = ~(1 << lane)
        self._slots = self._slots.translate(bytes(bits & keep for bits in _LANE_BITS))
        self._counts[lane] = 0
