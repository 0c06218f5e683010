"""`make fuzz`: the compiled core under sanitizers, on records nobody sends, beside its twin.

The sanitizers end the process at the first byte read or written where it must not be; a difference
between the twins ends it, too. Either says which seed does it again. What folds, cuts, holds and
delivers runs in the simulator's worlds: crashes, rebalances, spills.
"""

import argparse
import faulthandler
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from stream import compiled
from stream.kafka.partitioner import fnv1a, murmur2
from stream.otlp import _scan
from tests.fuzz.odd_decisions import Encoders
from tests.fuzz.odd_merges import Merges
from tests.fuzz.odd_polls import Receivers, a_poll
from tests.fuzz.twins import Disagreement, Twins
from tests.simulation.simulation import Simulation

RECORDS_A_SEED = 5_000
POLLS_A_SEED = 20
MERGES_A_SEED = 2_000
DECISIONS_A_SEED = 500
WORLDS_A_SEED = 5
SPILLS = 5  # every so manieth world spills


def main() -> None:
    """Compare until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first records; then the next")
    args = parser.parse_args()
    faulthandler.enable()
    if not compiled.RUNS:
        sys.exit(f"There is nothing to fuzz: the core is {compiled.core()}.")
    print(f"fuzzing {_scan.__file__}", flush=True)
    twins, merges = Twins(), Merges()
    seed = args.seed
    until_s = time.monotonic() + 60 * args.minutes
    while time.monotonic() < until_s:
        print(
            f"seed {seed}: {twins.records:,} records, {merges.merges:,} merges",
            end="\r",
            flush=True,
        )
        try:
            twins.run(Random(seed), RECORDS_A_SEED)
            _receive(twins, Random(seed))
            merges.run(Random(seed), MERGES_A_SEED)
            Encoders().run(Random(seed), DECISIONS_A_SEED)
            _live(seed)
        except Disagreement as problem:
            sys.exit(f"\nSEED={seed}: {problem}")
        seed += 1
    print(f"seeds {args.seed} to {seed - 1}: {twins.records:,} records, {merges.merges:,} merges")
    print("nothing found")


def _receive(twins: Twins, rng: Random) -> None:
    for _ in range(POLLS_A_SEED):
        plan = rng.choice(twins.plans)
        both = Receivers(plan, rng.choice((fnv1a, murmur2)), rng.choice((0, 1, 4, 7)), ("tenant",))
        both.compare(a_poll(rng))


def _live(seed: int) -> None:
    for number in range(seed * WORLDS_A_SEED, (seed + 1) * WORLDS_A_SEED):
        with tempfile.TemporaryDirectory(prefix="tailstream-fuzz-") as directory:
            found = Simulation(number, directory=None if number % SPILLS else Path(directory)).run()
        if found.broken:
            raise Disagreement(f"world {number}: {found.broken[0].law}: {found.broken[0].how}")


if __name__ == "__main__":
    main()
