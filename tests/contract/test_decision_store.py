"""The laws of `DecisionStore`, for every implementation."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from stream.sampling.decision import Trigger, Verdict
from stream.sampling.stores import DecisionStore, KnownDecision
from stream.state.memory import MemoryDecisionStore
from stream.state.rocksdb import RocksDB, RocksDBDecisionStore
from stream.state.spill import Budget
from stream.state.spill_decisions import SpillingDecisionStore

OpenStore = Callable[[int], DecisionStore]

RETENTION_MS = 600
SAMPLED = KnownDecision(Verdict.SAMPLED, "errors", Trigger.DECISION_WAIT, 0, upto=10, time_ms=1000)
DROPPED = KnownDecision(
    Verdict.NOT_SAMPLED, "", Trigger.ROOT_RECEIVED, 1 << 56, upto=20, time_ms=1001
)


def trace(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RocksDB]:
    database = RocksDB(tmp_path_factory.mktemp("decisions"), memory_bytes=8 << 20)
    yield database
    assert database.budget.held_bytes == 0, "every store is closed"
    database.close()


@pytest.fixture(params=["memory", "rocksdb", "spill_tiny", "spill_huge"])
def open_store(request: pytest.FixtureRequest, db: RocksDB) -> OpenStore:
    tiny, huge = Budget(1_000), Budget(1 << 40)
    kinds: dict[str, OpenStore] = {
        "memory": lambda _: MemoryDecisionStore(retention_ms=RETENTION_MS),
        "rocksdb": lambda partition: RocksDBDecisionStore(db, partition, retention_ms=RETENTION_MS),
        "spill_tiny": lambda partition: SpillingDecisionStore(
            tiny, db, partition, retention_ms=RETENTION_MS
        ),
        "spill_huge": lambda partition: SpillingDecisionStore(
            huge, db, partition, retention_ms=RETENTION_MS
        ),
    }
    return kinds[request.param]


@pytest.fixture
def store(open_store: OpenStore) -> Iterator[DecisionStore]:
    opened = open_store(0)
    yield opened
    opened.close()


def held(store: DecisionStore) -> int:
    return sum(store.held_bytes().values())


@pytest.mark.parametrize(
    "decision",
    [
        SAMPLED,
        DROPPED,
        replace(SAMPLED, span_ids=bytes(range(240)), span_ids_complete=False),
        replace(SAMPLED, policy="überlang " * 100, trigger=Trigger.LATE, upto=1 << 45),
        replace(DROPPED, trigger=Trigger.OVERLOAD, time_ms=1_900_000_000_000),
    ],
)
def test_a_decision_comes_back_as_it_was_put(store: DecisionStore, decision: KnownDecision) -> None:
    store.put([(trace(1), decision)])
    found = store.get(trace(1))
    assert found == decision
    assert found is not None
    assert isinstance(found.verdict, Verdict)
    assert isinstance(found.trigger, Trigger)


def test_an_unknown_trace_is_none(store: DecisionStore) -> None:
    assert store.get(trace(1)) is None
    store.put([])
    store.put([(trace(1), SAMPLED)])
    assert [store.get(trace(number)) for number in range(2, 500)] == [None] * 498


def test_a_later_decision_replaces_an_earlier_one(store: DecisionStore) -> None:
    later = replace(SAMPLED, trigger=Trigger.LATE, upto=99, time_ms=1002)
    store.put([(trace(1), DROPPED), (trace(1), SAMPLED)])
    assert store.get(trace(1)) == SAMPLED
    store.put([(trace(1), later)])
    assert store.get(trace(1)) == later


def test_the_newest_put_wins_across_generations_even_with_an_older_time(
    store: DecisionStore,
) -> None:
    newest = replace(SAMPLED, upto=50, time_ms=900)
    store.put([(trace(1), SAMPLED)])
    store.put([(trace(number), replace(SAMPLED, time_ms=900 + number)) for number in range(2, 600)])
    store.put([(trace(1), newest)])
    assert store.get(trace(1)) == newest
    for before_ms in range(0, 2000, 50):
        store.expire(before_ms, resume_offset=1 << 40)
        assert store.get(trace(1)) in (newest, None)


def test_a_decision_is_not_forgotten_before_its_time(store: DecisionStore) -> None:
    store.put([(trace(1), SAMPLED)])
    store.expire(SAMPLED.time_ms, resume_offset=1 << 40)
    assert store.get(trace(1)) == SAMPLED


def test_what_is_older_than_a_retention_and_a_bit_is_forgotten(store: DecisionStore) -> None:
    for number in range(3000):
        store.put([(trace(number), replace(SAMPLED, time_ms=number))])
        store.expire(number - RETENTION_MS, resume_offset=1 << 40)
    remembered = [number for number in range(3000) if store.get(trace(number)) is not None]
    assert remembered == list(range(remembered[0], 3000))
    # At least the retention; at most a generation, a sixth of it, more.
    assert 3000 - RETENTION_MS * 7 // 6 - 1 <= remembered[0] <= 2999 - RETENTION_MS
    assert len(store) == len(remembered)


def test_what_comes_late_lives_as_long_as_its_time_says_and_no_longer(store: DecisionStore) -> None:
    """As the second phase of a restore brings it: after the young ones."""
    young = [(trace(number), replace(SAMPLED, time_ms=number)) for number in range(600, 700)]
    old = [(trace(number), replace(SAMPLED, time_ms=number)) for number in range(600)]
    store.put(young)
    store.put(old[:250])
    store.put(old[250:])
    for now_ms in range(700, 1400, 10):
        store.expire(now_ms - RETENTION_MS, resume_offset=1 << 40)
        remembered = [n for n in range(700) if store.get(trace(n)) is not None]
        oldest = remembered[0] if remembered else 700
        assert remembered == list(range(oldest, 700))
        assert now_ms - RETENTION_MS * 7 // 6 - 1 <= oldest <= max(0, now_ms - RETENTION_MS)


def test_what_comes_late_replaces_what_was_there_whatever_its_time(store: DecisionStore) -> None:
    newest = replace(SAMPLED, upto=99, time_ms=100)
    store.put([(trace(1), replace(SAMPLED, time_ms=550)), (trace(2), SAMPLED), (trace(1), newest)])
    assert store.get(trace(1)) == newest
    store.put([(trace(3), newest), (trace(3), replace(newest, upto=100, time_ms=90))])
    assert store.get(trace(3)) == replace(newest, upto=100, time_ms=90)


def test_a_decision_above_the_resume_offset_is_never_forgotten(store: DecisionStore) -> None:
    store.put([(trace(1), SAMPLED)])
    store.expire(SAMPLED.time_ms * 1000, resume_offset=SAMPLED.upto - 1)
    assert store.get(trace(1)) == SAMPLED
    store.expire(SAMPLED.time_ms * 1000, resume_offset=SAMPLED.upto)
    assert store.get(trace(1)) is None


def test_decisions_that_come_out_of_order_protect_each_other(store: DecisionStore) -> None:
    high, low = replace(SAMPLED, upto=100), replace(SAMPLED, upto=5)
    new, old = replace(SAMPLED, time_ms=1000), replace(SAMPLED, time_ms=950)
    store.put([(trace(1), high), (trace(2), low)])
    store.expire(1 << 40, resume_offset=99)
    assert store.get(trace(1)) == high
    store.expire(1 << 40, resume_offset=100)
    store.put([(trace(3), new), (trace(4), old)])
    store.expire(1000, resume_offset=1 << 40)
    assert store.get(trace(3)) == new


def test_a_resume_offset_that_stands_still_for_long_forgets_nothing(store: DecisionStore) -> None:
    decisions = [(trace(n), replace(SAMPLED, upto=100 + n, time_ms=10 * n)) for n in range(1000)]
    for decision in decisions:
        store.put([decision])
        store.expire(decision[1].time_ms - RETENTION_MS, resume_offset=100)
    # Only the first decision lies below, and its generation holds others.
    assert all(store.get(trace_id) == decision for trace_id, decision in decisions)
    store.expire(1 << 40, resume_offset=1 << 40)
    assert all(store.get(trace_id) is None for trace_id, _ in decisions)


def test_a_replaced_decision_does_not_come_back_when_the_new_one_expires(
    store: DecisionStore,
) -> None:
    pinned = replace(SAMPLED, upto=1000)
    store.put([(trace(1), SAMPLED), (trace(2), pinned)])
    later = replace(SAMPLED, upto=30, time_ms=SAMPLED.time_ms + RETENTION_MS)
    store.put([(trace(1), later)])
    store.expire(1 << 40, resume_offset=500)
    assert store.get(trace(2)) == pinned
    assert store.get(trace(1)) == later


def test_its_length_counts_the_traces_remembered(store: DecisionStore) -> None:
    assert len(store) == 0
    store.put([(trace(number), SAMPLED) for number in range(40)])
    assert len(store) == 40
    store.expire(1 << 40, resume_offset=1 << 40)
    assert len(store) == 0


def test_held_bytes_grow_with_decisions_and_come_back_when_they_expire(
    store: DecisionStore,
) -> None:
    empty = held(store)
    assert set(store.held_bytes()) == {"memory", "rocksdb"}
    store.put([(trace(number), replace(SAMPLED, span_ids=bytes(800))) for number in range(10)])
    assert held(store) >= empty + 8000
    store.expire(1 << 40, resume_offset=1 << 40)
    assert held(store) == empty


def test_it_finds_every_one_of_many(store: DecisionStore) -> None:
    decisions = [
        (trace(number * 0x9E3779B97F4A7C15), replace(SAMPLED, upto=number, time_ms=number // 40))
        for number in range(20_000)
    ]
    store.put(decisions)
    assert all(store.get(trace_id) == decision for trace_id, decision in decisions)


def test_partitions_do_not_see_each_other(open_store: OpenStore) -> None:
    first, second = open_store(1), open_store(2)
    first.put([(trace(1), SAMPLED)])
    second.put([(trace(1), DROPPED)])
    assert (first.get(trace(1)), second.get(trace(1))) == (SAMPLED, DROPPED)
    first.expire(1 << 40, resume_offset=1 << 40)
    first.close()
    assert second.get(trace(1)) == DROPPED
    second.close()


def test_a_partition_opened_again_is_empty(open_store: OpenStore) -> None:
    store = open_store(3)
    store.put([(trace(1), SAMPLED)])
    store.close()
    store = open_store(3)
    store.put([(trace(2), DROPPED)])
    assert store.get(trace(1)) is None
    assert len(store) == 1
    store.close()


class Model(RuleBasedStateMachine):
    """The store beside a dict: never less than it must know, never another value."""

    open_store: OpenStore

    def __init__(self) -> None:
        super().__init__()
        self.store = self.open_store(50)
        self.newest: dict[bytes, KnownDecision] = {}
        self.time_ms = 0
        self.upto = 0
        self.may_be_gone: set[bytes] = set()

    @rule(
        numbers=st.lists(st.integers(0, 12), max_size=8),
        elapsed_ms=st.sampled_from([-700, -200, 0, 1, 60, 100, 700]),
        verdict=st.sampled_from(Verdict),
    )
    def put(self, numbers: list[int], elapsed_ms: int, verdict: Verdict) -> None:
        decisions = []
        for number in numbers:
            self.time_ms = max(0, self.time_ms + elapsed_ms)
            self.upto += 1
            decision = replace(SAMPLED, verdict=verdict, upto=self.upto, time_ms=self.time_ms)
            decisions.append((trace(number), decision))
            self.newest[trace(number)] = decision
            self.may_be_gone.discard(trace(number))
        self.store.put(decisions)

    @rule(age_ms=st.integers(0, 800), undone=st.integers(0, 10))
    def expire(self, age_ms: int, undone: int) -> None:
        before_ms, resume_offset = self.time_ms - age_ms, self.upto - undone
        for trace_id, decision in self.newest.items():
            if decision.time_ms < before_ms and decision.upto <= resume_offset:
                self.may_be_gone.add(trace_id)
        self.store.expire(before_ms, resume_offset)
        self.compare()

    @rule()
    def assigned_again(self) -> None:
        self.store.close()
        self.store = self.open_store(50)
        assert len(self.store) == 0
        self.newest.clear()
        self.may_be_gone.clear()

    @rule()
    def compare(self) -> None:
        for trace_id, decision in self.newest.items():
            allowed = [decision, None] if trace_id in self.may_be_gone else [decision]
            assert self.store.get(trace_id) in allowed

    def teardown(self) -> None:
        self.compare()
        self.store.expire(1 << 40, self.upto)
        assert len(self.store) == 0
        assert not any(self.store.get(trace_id) for trace_id in self.newest)
        self.store.close()


def test_it_is_a_dict_that_forgets_only_what_it_may(open_store: OpenStore) -> None:
    machine = type("OneModel", (Model,), {"open_store": staticmethod(open_store)})
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=checks
        ),
    )
