"""An endless load, and records that no exporter should send, at a steady rate."""

from collections.abc import Iterator
from dataclasses import replace
from heapq import heappop, heappush
from random import Random

from stream.sampling.control import CONTROL_HEADER, Pin, encode
from tests.harness.hostile import LEGAL, MALFORMED, TRACE_ID, record
from tests.harness.load import Load, Planned

PIECE_S = 5.0
HOSTILE_A_PIECE = 3
SPANS_A_TRACE = 24
BROKEN = [value for value in MALFORMED.values() if len(value) < 20_000]
PINNED_SHARE = 0.02
PIN_TTL_MS = 3_600_000
ODD = [value for value in LEGAL.values() if len(value) < 20_000]


class Traffic:
    """About `spans_a_s` spans a second, piece by piece: see `Load`, with hostile records in it."""

    def __init__(self, seed: int, *, spans_a_s: float, late_after_s: float) -> None:
        self._seed = seed
        self._spans_a_s = spans_a_s
        self._late_after_s = late_after_s
        self._given_s = 0.0

    @property
    def spans(self) -> int:
        """About how many spans have been taken so far."""
        return int(self._given_s * self._spans_a_s)

    def __iter__(self) -> Iterator[Planned]:
        waiting: list[tuple[float, int, Planned]] = []
        made = 0
        piece = 0
        while True:
            begins_s = piece * PIECE_S
            while waiting and waiting[0][0] < begins_s:
                self._given_s, _, planned = heappop(waiting)
                yield planned
            for planned in self._piece(piece):
                at_s = begins_s + planned.at_s
                made += 1
                heappush(waiting, (at_s, made, replace(planned, at_s=at_s)))
            piece += 1

    def _piece(self, number: int) -> list[Planned]:
        seed = self._seed * 1_000_003 + number
        load = Load(
            spans=int(self._spans_a_s * PIECE_S),
            duration_s=PIECE_S,
            late_after_s=self._late_after_s,
            seed=seed,
            spans_a_trace=SPANS_A_TRACE,
        )
        records = load.records()
        pins = _pins(Random(f"pins {seed}"), records, self._late_after_s)
        return records + pins + _hostile(Random(f"hostile {seed}"))


def _pins(rng: Random, records: list[Planned], late_after_s: float) -> list[Planned]:
    """Return pins: before their traces' spans, beside them, after the verdict; some twice."""
    pins = []
    for one in records:
        if rng.random() > PINNED_SHARE or one.key.startswith(b"00000000"):
            continue
        pin = Pin(bytes.fromhex(one.key.decode()), PIN_TTL_MS, "chaos")
        after_s = late_after_s + rng.random() * late_after_s
        for by_s in rng.sample((-0.6, 0.1, after_s, after_s, after_s), rng.choice((1, 1, 1, 2))):
            at_s = max(0.0, one.at_s + by_s)
            pins.append(Planned(at_s, pin.key, b"", ((CONTROL_HEADER, encode(pin)),)))
    return pins


def _hostile(rng: Random) -> list[Planned]:
    """Return records that no decoder takes, and odd but legal ones, each a trace of its own."""
    found = []
    for _ in range(HOSTILE_A_PIECE):
        trace_id = rng.randbytes(16)
        value = record(rng.choice(ODD)).replace(TRACE_ID, trace_id)
        broken = rng.choice(BROKEN)
        found += [
            Planned(rng.random() * PIECE_S, trace_id.hex().encode(), content)
            for content in (value, broken)
        ]
    return found
