"""Decisions of every size, and whether both encoders write the same of them."""

from dataclasses import dataclass
from itertools import accumulate
from random import Random

from stream.sampling import _decision
from stream.sampling.decision import Clock, Decision, Trigger, Verdict, encode_in_python
from tests.fuzz.twins import Disagreement

NUMBERS = [2**bits + more for bits in (0, 5, 7, 8, 14, 16, 31, 32, 62) for more in (-1, 0, 1)]
SIZES = (0, 1, 8, 31, 32, 40, 255, 256, 65_535, 65_536)
COUNTS = (0, 1, 3, 50, 1_024, 2_048, 2_049)


@dataclass(slots=True)
class Encoders:
    """Encodes decisions by both, and counts how often the compiled one did."""

    decisions: int = 0
    compiled: int = 0

    def run(self, rng: Random, count: int) -> None:
        """Compare so many.

        Raises:
            Disagreement: they differ.
        """
        for _ in range(count):
            decision = a_decision(rng)
            config, topic_id, group = a_text(rng), a_text(rng), a_text(rng)
            self.decisions += 1
            written = _decision.encode(decision, config, topic_id, group)
            if written is None:
                continue
            self.compiled += 1
            expected = encode_in_python(decision, config=config, topic_id=topic_id, group=group)
            if written != expected:
                raise Disagreement(f"{decision}\n{written.hex()}\n{expected.hex()}")


def a_text(rng: Random) -> str:
    """Return a text, seldom a long one."""
    return rng.choice("xé") * (rng.choice(SIZES) if rng.random() < 0.2 else rng.randint(0, 20))


def a_decision(rng: Random) -> Decision:
    """Return a decision with anything in its fields."""
    numbers = [rng.choice(NUMBERS) for _ in range(8)]
    offsets = [rng.choice(NUMBERS[:15]) for _ in range(rng.choice(COUNTS))]
    return Decision(
        trace_id=rng.randbytes(16),
        verdict=rng.choice(list(Verdict)),
        policy=a_text(rng),
        trigger=rng.choice(list(Trigger)),
        threshold=numbers[0],
        spans=numbers[1],
        errors=numbers[2],
        duration_us=numbers[3] if rng.random() < 0.98 else -1,
        complete=rng.random() < 0.5,
        time_ms=numbers[4],
        clock=rng.choice(list(Clock)),
        upto=numbers[5],
        offsets=list(accumulate(offsets)),
        duplicates=numbers[6],
        dead_lettered=numbers[7],
        span_ids=bytes(rng.choice(SIZES)),
        span_ids_complete=rng.random() < 0.9,
        ballot=a_text(rng) if rng.random() < 0.5 else "",
    )
