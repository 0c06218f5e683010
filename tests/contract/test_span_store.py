"""The laws of `SpanStore`, for every implementation."""

from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from stream.sampling.stores import SpanStore
from stream.state.memory import MemorySpanStore
from stream.state.rocksdb import RocksDB, RocksDBSpanStore
from stream.state.spill import Budget, SpillingSpanStore

OpenStore = Callable[[int], SpanStore]

A = bytes(range(16))
B = bytes(range(1, 17))
BUCKET = 8192  # the widest bucket of any implementation


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RocksDB]:
    database = RocksDB(tmp_path_factory.mktemp("spans"), memory_bytes=8 << 20)
    yield database
    assert database.budget.held_bytes == 0, "every store is closed"
    database.close()


@pytest.fixture(params=["memory", "rocksdb", "spill_tiny", "spill_huge"])
def open_store(request: pytest.FixtureRequest, db: RocksDB) -> OpenStore:
    tiny, huge = Budget(700), Budget(1 << 40)
    kinds: dict[str, OpenStore] = {
        "memory": lambda _: MemorySpanStore(),
        "rocksdb": lambda partition: RocksDBSpanStore(db, partition),
        "spill_tiny": lambda partition: SpillingSpanStore(tiny, db, partition),
        "spill_huge": lambda partition: SpillingSpanStore(huge, db, partition),
    }
    return kinds[request.param]


@pytest.fixture
def store(open_store: OpenStore) -> Iterator[SpanStore]:
    opened = open_store(0)
    yield opened
    opened.close()


def held(store: SpanStore) -> int:
    return sum(store.held_bytes().values())


def test_bodies_come_back_in_the_order_they_are_asked_for(store: SpanStore) -> None:
    store.put([(A, 3, b"three"), (B, 4, b"other"), (A, 5, b"five")])
    store.put([(A, 9000, b"far")])
    assert store.get(A, [9000, 3, 5]) == [b"far", b"three", b"five"]
    assert store.get(B, [4]) == [b"other"]


def test_asking_for_no_offsets_returns_nothing(store: SpanStore) -> None:
    store.put([])
    assert store.get(A, []) == []


def test_two_traces_of_one_record_are_kept_apart(store: SpanStore) -> None:
    store.put([(A, 7, b"of a"), (B, 7, b"of b")])
    assert (store.get(A, [7]), store.get(B, [7])) == ([b"of a"], [b"of b"])
    store.delete(A, [7])
    assert store.get(B, [7]) == [b"of b"]


def test_an_empty_body_and_a_large_one_survive(store: SpanStore) -> None:
    large = bytes(range(256)) * 12_000
    store.put([(A, 1, b""), (A, 2, large)])
    assert store.get(A, [1, 2]) == [b"", large]


def test_asking_for_a_body_that_was_never_put_is_our_own_bug(store: SpanStore) -> None:
    store.put([(A, 1, b"one")])
    for trace_id, offset in [(A, 2), (B, 1), (A, 1 + BUCKET)]:
        with pytest.raises(AssertionError, match="no body of trace"):
            store.get(trace_id, [offset])


def test_deleting_a_body_leaves_the_others_of_its_trace(store: SpanStore) -> None:
    store.put([(A, offset, b"body %d" % offset) for offset in range(10)])
    store.delete(A, [0, 4, 9])
    assert store.get(A, [3, 5]) == [b"body 3", b"body 5"]


def test_deleting_twice_or_what_is_not_there_changes_nothing(store: SpanStore) -> None:
    store.put([(A, 1, b"one"), (A, 2, b"two")])
    store.delete(A, [1])
    before = held(store)
    store.delete(A, [1])
    store.delete(B, [77])
    assert held(store) == before
    assert store.get(A, [2]) == [b"two"]


def test_nothing_at_or_above_the_offset_is_discarded(store: SpanStore) -> None:
    offsets = [0, BUCKET - 1, BUCKET, BUCKET + 1, 3 * BUCKET]
    store.put([(A, offset, b"at %d" % offset) for offset in offsets])
    for bound in (1, BUCKET - 1, BUCKET, BUCKET + 1, 3 * BUCKET):
        store.discard_below(bound)
        left = [offset for offset in offsets if offset >= bound]
        assert store.get(A, left) == [b"at %d" % offset for offset in left]


def test_discarding_below_whole_buckets_gives_all_their_space_back(store: SpanStore) -> None:
    store.put([(A, offset, b"x" * 100) for offset in range(0, 2 * BUCKET, 64)])
    assert held(store) == 256 * 100
    store.discard_below(BUCKET)
    assert held(store) == 128 * 100
    store.discard_below(2 * BUCKET)
    assert held(store) == 0


def test_discarding_a_second_time_or_lower_changes_nothing(store: SpanStore) -> None:
    store.put([(A, 5 * BUCKET, b"kept")])
    store.discard_below(4 * BUCKET)
    store.discard_below(2 * BUCKET)
    store.discard_below(4 * BUCKET)
    assert store.get(A, [5 * BUCKET]) == [b"kept"]


def test_held_bytes_are_those_of_the_bodies_by_place(store: SpanStore) -> None:
    assert dict(store.held_bytes()) == {"memory": 0, "rocksdb": 0}
    store.put([(A, 1, b"12345"), (B, 1, b"123")])
    assert set(store.held_bytes()) == {"memory", "rocksdb"}
    assert held(store) == 8


def test_nothing_has_to_go_where_no_limit_is_reached(store: SpanStore) -> None:
    store.put([(A, offset, b"x" * 100) for offset in range(0, 3 * BUCKET, 64)])
    assert store.lowest_affordable() == 0


def test_offsets_above_four_billion_are_kept(store: SpanStore) -> None:
    high = 40_000_000_000
    store.put([(A, high, b"high"), (A, high - 1, b"low")])
    store.discard_below(high - BUCKET)
    assert store.get(A, [high - 1, high]) == [b"low", b"high"]


def test_partitions_do_not_see_each_other(open_store: OpenStore) -> None:
    first, second = open_store(1), open_store(2)
    first.put([(A, 1, b"first")])
    second.put([(A, 1, b"second")])
    assert (first.get(A, [1]), second.get(A, [1])) == ([b"first"], [b"second"])
    first.discard_below(10 * BUCKET)
    first.close()
    assert second.get(A, [1]) == [b"second"]
    second.close()


def test_a_partition_opened_again_is_empty(open_store: OpenStore) -> None:
    store = open_store(3)
    store.put([(A, 1, b"old"), (B, 9 * BUCKET, b"old")])
    store.close()
    store = open_store(3)
    assert held(store) == 0
    with pytest.raises(AssertionError, match="no body of trace"):
        store.get(A, [1])
    store.close()


class Model(RuleBasedStateMachine):
    """The store beside a dict, over two traces and a few buckets."""

    open_store: OpenStore

    def __init__(self) -> None:
        super().__init__()
        self.store = self.open_store(50)
        self.known: dict[tuple[bytes, int], bytes] = {}
        self.next_offset = 0
        self.low = 0

    @rule(
        rows=st.lists(st.tuples(st.sampled_from([A, B]), st.binary(max_size=300)), max_size=6),
        step=st.sampled_from([1, 50, 1024, 5000, 9000]),
    )
    def put(self, rows: list[tuple[bytes, bytes]], step: int) -> None:
        bodies = []
        for trace_id, body in rows:
            self.next_offset += step
            bodies.append((trace_id, self.next_offset, body))
            self.known[trace_id, self.next_offset] = body
        self.store.put(bodies)

    @precondition(lambda self: self.known)
    @rule(choice=st.randoms(use_true_random=False))
    def get(self, choice: Random) -> None:
        trace_id, _ = choice.choice(sorted(self.known))
        offsets = [offset for known, offset in self.known if known == trace_id]
        choice.shuffle(offsets)
        assert self.store.get(trace_id, offsets) == [self.known[trace_id, o] for o in offsets]

    @precondition(lambda self: self.known)
    @rule(choice=st.randoms(use_true_random=False))
    def delete(self, choice: Random) -> None:
        trace_id, offset = choice.choice(sorted(self.known))
        del self.known[trace_id, offset]
        self.store.delete(trace_id, [offset])

    @rule(ahead=st.integers(0, 20_000))
    def discard(self, ahead: int) -> None:
        self.low = min(self.low + ahead, self.next_offset + 1)
        self.known = {key: body for key, body in self.known.items() if key[1] >= self.low}
        self.store.discard_below(self.low)

    def teardown(self) -> None:
        for (trace_id, offset), body in self.known.items():
            assert self.store.get(trace_id, [offset]) == [body]
        assert held(self.store) >= sum(map(len, self.known.values()))
        self.store.discard_below(self.next_offset + 2 * BUCKET)
        assert held(self.store) == 0
        self.store.close()


def test_it_is_a_dict_whatever_the_order_of_calls(open_store: OpenStore) -> None:
    machine = type("OneModel", (Model,), {"open_store": staticmethod(open_store)})
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=checks
        ),
    )
