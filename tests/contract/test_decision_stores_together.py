"""Decision stores of many partitions in one tiny database, against a dict for each."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from stream.sampling.decision import Trigger, Verdict
from stream.sampling.stores import DecisionStore, KnownDecision
from stream.state.rocksdb import RocksDB, RocksDBDecisionStore
from stream.state.spill import Budget
from stream.state.spill_decisions import SpillingDecisionStore

RETENTION_MS = 600
STEPS = 120


@dataclass
class Stores:
    """The stores of a process: some keep all on disk, some spill with nearly every put."""

    rng: Random
    db: RocksDB
    budget: Budget

    def open(self, partition: int) -> DecisionStore:
        if self.rng.random() < 0.5:
            return RocksDBDecisionStore(self.db, partition, retention_ms=RETENTION_MS)
        return SpillingDecisionStore(self.budget, self.db, partition, retention_ms=RETENTION_MS)


@dataclass
class Pair:
    """A store, and what it must know."""

    store: DecisionStore
    known: dict[bytes, KnownDecision] = field(default_factory=dict)
    time_ms: int = 3 * RETENTION_MS
    upto: int = 0

    def put(self, rng: Random) -> None:
        late = rng.random() < 0.15
        batch = []
        for _ in range(rng.choice([1, 5, 60, 300])):
            time_ms = self.time_ms - rng.randrange(2 * RETENTION_MS) if late else self.time_ms
            self.upto += rng.randrange(3)
            again = rng.randrange(200).to_bytes(16, "big")
            trace_id = rng.choice([rng.randbytes(16), again])
            verdict, span_ids = rng.choice(list(Verdict)), rng.randbytes(8 * rng.randrange(6))
            decision = KnownDecision(verdict, "p", Trigger.LATE, 0, self.upto, time_ms, span_ids)
            batch.append((trace_id, decision))
            self.known[trace_id] = decision
            self.time_ms += 0 if late else rng.choice([0, 0, 1, RETENTION_MS // 6])
        self.store.put(batch)

    def expire(self, rng: Random) -> None:
        before_ms, resume_offset = self.time_ms - RETENTION_MS, self.upto - rng.choice([0, 5, 900])
        self.store.expire(before_ms, resume_offset)
        self.known = {
            trace_id: one
            for trace_id, one in self.known.items()
            if one.time_ms >= before_ms or one.upto > resume_offset
        }

    def compare(self) -> None:
        for trace_id, decision in self.known.items():
            assert self.store.get(trace_id) == decision


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_decision_that_is_wanted_is_ever_missed(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    stores = Stores(
        rng, RocksDB(tmp_path, memory_bytes=64 << 10), Budget(rng.choice([0, 1_000, 20_000]))
    )
    pairs = [Pair(stores.open(partition)) for partition in range(5)]
    for _ in range(STEPS):
        partition = rng.randrange(len(pairs))
        pair, chance = pairs[partition], rng.random()
        if chance < 0.7:
            pair.put(rng)
        elif chance < 0.93:
            pair.expire(rng)
        else:  # revoked, and assigned again
            pair.store.close()
            pairs[partition] = Pair(stores.open(partition))
        pairs[rng.randrange(len(pairs))].compare()
    for pair in pairs:
        pair.compare()
        pair.store.close()
    assert stores.db.budget.held_bytes == 0
    stores.db.close()
