"""Decisions in memory up to a budget, the oldest in RocksDB."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stream.sampling.decision import Trigger, Verdict
from stream.sampling.stores import KnownDecision
from stream.state.memory import DECISION_OVERHEAD_BYTES
from stream.state.rocksdb import RocksDB
from stream.state.spill import Budget
from stream.state.spill_decisions import SpillingDecisionStore

KNOWN = KnownDecision(Verdict.SAMPLED, "errors", Trigger.DECISION_WAIT, 0, upto=10, time_ms=1000)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[RocksDB]:
    database = RocksDB(tmp_path, memory_bytes=4 << 20)
    yield database
    database.close()


def trace(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_the_budget_is_kept_and_the_oldest_spill(db: RocksDB) -> None:
    budget = Budget(80 * DECISION_OVERHEAD_BYTES)
    stores = [SpillingDecisionStore(budget, db, partition) for partition in (0, 1)]
    for number in range(200):
        for store in stores:
            store.put([(trace(number), replace(KNOWN, upto=number))])
            assert budget.held_bytes() <= budget.limit_bytes
    for store in stores:
        assert len(store) == 200
        assert store.held_bytes()["rocksdb"] > 0
        assert store._rocksdb.get(trace(0)) is not None
        assert store._memory.get(trace(199)) is not None
        for number in range(200):
            assert store.get(trace(number)) == replace(KNOWN, upto=number)


def test_a_newer_decision_in_memory_outlives_the_one_that_it_replaced(db: RocksDB) -> None:
    store = SpillingDecisionStore(Budget(1 << 30), db, 0, retention_ms=600)
    newer = replace(KNOWN, upto=99)
    store._rocksdb.put([(trace(1), replace(KNOWN, time_ms=5_000))])
    store._memory.put([(trace(1), newer)])
    store.expire(2_000, 1 << 40)
    assert store.get(trace(1)) == newer
    store.expire(6_000, 1 << 40)
    assert store.get(trace(1)) is None
    assert len(store) == 0


def test_a_closed_store_gives_its_share_back(db: RocksDB) -> None:
    budget = Budget(10 * DECISION_OVERHEAD_BYTES)
    store = SpillingDecisionStore(budget, db, 0)
    store.put([(trace(number), KNOWN) for number in range(5)])
    assert budget.held_bytes() > 0
    store.close()
    assert budget.held_bytes() == 0
