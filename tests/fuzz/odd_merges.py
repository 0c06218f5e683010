"""Fragments as no sane exporter writes them, and whether both merges make the same of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from stream.otlp import _merge
from stream.otlp._decodable import is_surely_decodable
from stream.otlp.decodable import is_decodable
from stream.otlp.merge import Merged, merge_in_python
from stream.otlp.span_key import KIND_SERVER, span_key
from stream.otlp.stamp import Stamp
from tests.fuzz.odd_records import SPAN_IDS, broken, odd_record
from tests.fuzz.twins import Disagreement

NO_LIMIT = 10**9
SPAN_KEYS = [*SPAN_IDS, *(span_key(each, KIND_SERVER) for each in SPAN_IDS)]
LIMITS = (NO_LIMIT, NO_LIMIT, 2_000, 600, 200, 1)
STAMPS = [
    Stamp("spans", "errors", "decision_wait"),
    Stamp("spans", "", "late", 1),
    Stamp("spans", "rest", "late", 1 << 55),
    Stamp("root", "é", "root_received"),
    Stamp("root", "rest", "late", 0xFD70A400000000),
    Stamp("none", "errors", "late", 1 << 55),
    Stamp("spans", "limited", "late", 1 << 56),
    Stamp("root", "limited", "late", 1 << 56, independent=True),
    Stamp("spans", "rest", "late", 1 << 55, independent=True),
    Stamp("spans", "rest", "late", 1 << 55, randomness=3 << 54),
]


@dataclass(slots=True)
class Merges:
    """Merges fragments by both, and counts how often the compiled one did."""

    merges: int = 0
    compiled: int = 0
    sound: int = 0

    def compare(
        self, bodies: Sequence[bytes], stamp: Stamp, limit: int = NO_LIMIT, seen: bytes = b""
    ) -> Merged | None:
        """Merge by both; return what the compiled one made, None if it left it to the other.

        Raises:
            Disagreement: they differ, or it takes a body for decodable that is not.
        """
        self.merges += 1
        for body in bodies:
            if is_surely_decodable(body):
                self.sound += 1
                if not is_decodable(body):
                    raise Disagreement(f"not decodable: {body.hex()}")
        plain = _merge.merge(bodies, stamp, stamp.attributes(), limit, seen)
        if plain is None:
            return None
        self.compiled += 1
        merged = Merged(*plain, [])
        expected = merge_in_python(bodies, stamp, limit, seen)
        if merged != expected:
            asked = f"{stamp} {limit} {seen.hex()} {[body.hex() for body in bodies]}"
            raise Disagreement(f"{asked}\n{merged}\n{expected}")
        return merged

    def run(self, rng: Random, count: int) -> None:
        """Compare so many merges, some of broken fragments, some of what was merged before."""
        before: list[bytes] = [odd_record(rng)]
        for _ in range(count):
            bodies = [odd_record(rng) for _ in range(rng.randint(0, 4))]
            if rng.random() < 0.2:
                bodies.append(rng.choice(before))
            if rng.random() < 0.2:
                bodies = [broken(rng, body, before[0]) for body in bodies]
            seen = b"".join(rng.sample(SPAN_KEYS, rng.randint(0, 2)))
            merged = self.compare(bodies, rng.choice(STAMPS), rng.choice(LIMITS), seen)
            before = (merged.parts if merged else bodies) or before
