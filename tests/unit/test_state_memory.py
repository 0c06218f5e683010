from dataclasses import replace

from stream.sampling.decision import Trigger, Verdict
from stream.sampling.stores import KnownDecision
from stream.state.memory import MemoryDecisionStore, MemorySpanStore

A = bytes(range(16))
DECISION = KnownDecision(Verdict.SAMPLED, "errors", Trigger.DECISION_WAIT, 0, upto=10, time_ms=1000)


def test_a_deleted_body_is_free_at_once() -> None:
    store = MemorySpanStore()
    store.put([(A, 1, b"12345"), (A, 2, b"123")])
    store.delete(A, [1])
    assert (store.bodies, store.body_bytes) == (1, 3)
    store.delete(A, [2])
    assert (store.bodies, store.body_bytes) == (0, 0)


def test_the_oldest_bodies_are_taken_out_once_and_with_their_bytes() -> None:
    store = MemorySpanStore()
    bodies = [(A, offset, b"x" * 10) for offset in range(0, 5000, 100)]
    store.put(bodies)
    assert store.pop_oldest(95) == bodies[:10]
    assert (store.bodies, store.body_bytes) == (40, 400)
    assert store.pop_oldest(0) == []
    assert store.pop_oldest(1 << 30) == bodies[10:]
    assert (store.bodies, store.body_bytes) == (0, 0)


def test_decisions_of_one_trace_in_a_row_take_the_memory_of_one() -> None:
    store = MemoryDecisionStore()
    store.put([(A, DECISION)])
    once = store.held_bytes()
    store.put([(A, replace(DECISION, upto=upto)) for upto in range(11, 100)])
    assert store.held_bytes() == once
    assert len(store) == 1
