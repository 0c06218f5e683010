from collections.abc import Callable
from typing import Any

import faust
import pytest
from faust.types import TP

from stream.sampling.decision import Trigger, Verdict
from stream.sampling.stores import KnownDecision
from stream.state.memory import MemoryDecisionStore, MemorySpanStore
from stream.state.tables import (
    DecisionTableStore,
    SourceTopicTable,
    SpanTableStore,
    TailTableManager,
)

A = bytes(range(16))
DECISION = KnownDecision(Verdict.SAMPLED, "errors", Trigger.DECISION_WAIT, 0, upto=10, time_ms=1000)


def new_app() -> Any:
    return faust.App("state-tables", broker="kafka://127.0.0.1:1", TableManager=TailTableManager)


def new_table(app: Any, name: str = "spans", opened: Callable[[int], None] = lambda _: None) -> Any:
    open_store: Callable[[int], object] = {
        "spans": lambda _: MemorySpanStore(),
        "decisions": lambda _: MemoryDecisionStore(),
    }[name]
    table = SourceTopicTable(
        app,
        name=name,
        store=f"tailstream-{name}://",
        changelog_topic=app.topic("otlp_spans"),
        options={"open_store": open_store, "opened": opened},
    )
    return app.tables.add(table)


@pytest.fixture
def table() -> Any:
    return new_table(new_app())


def tps(*partitions: int, topic: str = "otlp_spans") -> set[TP]:
    return {TP(topic, partition) for partition in partitions}


def rebalance(table: Any, *, new: set[TP] = frozenset(), gone: set[TP] = frozenset()) -> None:  # type: ignore[assignment]  # faust is untyped
    run(table.on_rebalance(set(), gone, new, 1))


def run(coroutine: Any) -> None:
    """Drive a coroutine that waits for nothing."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def test_an_assignment_is_told_of_with_the_partitions_that_are_open_then() -> None:
    told: list[int] = []
    table = new_table(new_app(), opened=told.append)
    rebalance(table, new=tps(0, 1, 2))
    rebalance(table, gone=tps(0))
    rebalance(table, new=tps(4))
    assert told == [3, 3]


def test_the_urls_name_the_stores() -> None:
    app = new_app()
    assert type(new_table(app, "spans").data) is SpanTableStore
    assert type(new_table(app, "decisions").data) is DecisionTableStore


def test_stores_open_with_an_assignment_and_close_when_revoked(table: Any) -> None:
    rebalance(table, new=tps(1, 4))
    assert sorted(table) == [1, 4]
    one = table.data.for_partition(1)
    one.put([(A, 7, b"body")])
    rebalance(table, gone=tps(1))
    assert sorted(table) == [4]
    assert one.held_bytes()["memory"] == 0


def test_a_partition_that_stays_keeps_its_store_through_a_rebalance(table: Any) -> None:
    rebalance(table, new=tps(1))
    table.data.for_partition(1).put([(A, 7, b"body")])
    rebalance(table, new=tps(2))
    rebalance(table, gone=tps(2))
    assert table.data.for_partition(1).get(A, [7]) == [b"body"]


def test_a_partition_that_is_assigned_again_starts_empty(table: Any) -> None:
    for gone in (tps(1), set()):
        rebalance(table, new=tps(1))
        old = table.data.for_partition(1)
        old.put([(A, 7, b"body")])
        rebalance(table, new=tps(1), gone=gone)
        assert table.data.for_partition(1) is not old
        assert old.held_bytes()["memory"] == 0


def test_partitions_of_other_topics_are_not_ours(table: Any) -> None:
    rebalance(table, new=tps(1) | tps(2, topic="otlp_metrics"))
    rebalance(table, gone=tps(1, topic="otlp_metrics"))
    assert sorted(table) == [1]


def test_the_store_of_an_unassigned_partition_is_our_own_bug(table: Any) -> None:
    rebalance(table, new=tps(1))
    with pytest.raises(AssertionError, match="spans 2 is not assigned to us"):
        table.data.for_partition(2)


def test_decisions_are_kept_by_partition() -> None:
    table = new_table(new_app(), "decisions")
    rebalance(table, new=tps(1, 2))
    table.data.for_partition(1).put([(A, DECISION)])
    assert table.data.for_partition(1).get(A) == DECISION
    assert table.data.for_partition(2).get(A) is None


def test_faust_stopping_the_table_leaves_the_stores_open_and_close_closes_them(table: Any) -> None:
    rebalance(table, new=tps(1, 2))
    run(table.data.stop())
    stores = [table.data.for_partition(partition) for partition in (1, 2)]
    for store in stores:
        store.put([(A, 7, b"body")])
    table.data.close()
    table.data.close()
    assert len(table) == 0
    assert all(store.held_bytes()["memory"] == 0 for store in stores)


def test_as_a_mapping_it_shows_the_open_partitions_and_cannot_be_written(table: Any) -> None:
    rebalance(table, new=tps(1))
    assert dict(table) == {1: table.data.for_partition(1)} == dict(table.data)
    writes: list[Callable[[Any], object]] = [
        lambda mapping: mapping.update({2: "x"}),
        lambda mapping: mapping.__setitem__(2, "x"),
        lambda mapping: mapping.__delitem__(1),
        lambda mapping: mapping.pop(1),
        lambda mapping: mapping.clear(),
    ]
    for write in writes:
        for mapping in (table, table.data):
            with pytest.raises(TypeError, match="read-only"):
                write(mapping)
    assert sorted(table) == [1]


def test_faust_knows_no_changelog_of_ours_and_reads_none() -> None:
    app = new_app()
    table = new_table(app)
    assert app.tables["spans"] is table
    assert app.tables.changelog_topics == set()
    assert app.tables._channels[table] is table.changelog_topic


def test_other_tables_are_still_recovered_by_faust() -> None:
    app = new_app()
    app.Table("counts")
    assert app.tables.changelog_topics == {"state-tables-counts-changelog"}


def test_two_tables_of_one_name_are_our_own_bug() -> None:
    app = new_app()
    new_table(app)
    with pytest.raises(AssertionError, match="two tables are named spans"):
        new_table(app)
