"""Faust tables that own the stores of this worker's partitions.

Faust opens and closes them with the partitions; the hot path asks `for_partition` once and calls
the store itself. The changelog of these tables is the topic they are made from (DESIGN section 5),
so Faust must neither write one nor recover from one.

`Tables` declares both, in an app with the setting `TableManager=TailTableManager`.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import faust
from faust.stores import STORES
from faust.stores.base import Store
from faust.tables.manager import TableManager

from stream.sampling.stores import DecisionStore, SpanStore
from stream.state.storage import Storage

SPANS_SCHEME = "tailstream-spans"
DECISIONS_SCHEME = "tailstream-decisions"

STORES.aliases[SPANS_SCHEME] = f"{__name__}:SpanTableStore"
STORES.aliases[DECISIONS_SCHEME] = f"{__name__}:DecisionTableStore"


class Tables:
    """The Faust tables that own the stores of `storage`; `topic` is what they are made from."""

    def __init__(self, app: faust.App, storage: Storage, topic: Any) -> None:
        self.traces = storage.traces
        self._storage = storage
        self._spans = _table(
            app, "spans", SPANS_SCHEME, topic, storage.open_spans, opened=storage.assigned
        )
        self._decisions = _table(app, "decisions", DECISIONS_SCHEME, topic, storage.open_decisions)

    def for_partition(self, number: int) -> tuple[SpanStore, DecisionStore]:
        """Return the stores of a partition that is assigned."""
        spans: SpanStore = self._spans.data.for_partition(number)
        decisions: DecisionStore = self._decisions.data.for_partition(number)
        return spans, decisions

    def close(self) -> None:
        """Close every store, then what they are made of."""
        self._spans.data.close()
        self._decisions.data.close()
        self._storage.close()


class SourceTopicTable(faust.Table):  # type: ignore[misc]  # faust is untyped
    """A table without a changelog topic: `changelog_topic` is the topic that it is made from.

    As a mapping it shows the partitions that are open, each with its store, read-only.
    """

    def _new_store(self) -> Any:
        # Faust takes the app's store where the table's is falsy, and a URL without a host is.
        assert self._store is not None, f"the table {self.name} names no store"
        return self._new_store_by_url(self._store)

    async def on_start(self) -> None:
        """Start the store only: there is no changelog topic to declare."""
        await self.add_runtime_dependency(self.data)

    def on_key_get(self, key: int) -> None:
        """Tell no sensor: the stores have their own metrics."""

    def on_key_set(self, key: Any, value: Any) -> NoReturn:
        """Refuse: the stores are written to by their own methods."""
        _refuse(key, value)

    def on_key_del(self, key: Any) -> NoReturn:
        """Refuse, as above."""
        _refuse(key)

    def on_clear(self) -> NoReturn:
        """Refuse, as above."""
        _refuse()


class TailTableManager(TableManager):  # type: ignore[misc]  # faust is untyped
    """Faust's table manager, which starts and stops our tables but never recovers them."""

    def add(self, table: Any) -> Any:
        """Register a table; a `SourceTopicTable` without its changelog."""
        if not isinstance(table, SourceTopicTable):
            return super().add(table)
        assert not self._tables_finalized.is_set(), f"too late to add the table {table.name}"
        assert table.name not in self, f"two tables are named {table.name}"
        self[table.name] = table
        # Not in `_changelogs`, or Faust would pause our input for a recovery that never ends; and
        # with a channel already, or `_update_channels` would read the input a second time.
        self._channels[table] = table.changelog_topic
        return table


class PartitionedStore(Store):  # type: ignore[misc]  # faust is untyped
    """A Faust store that keeps a store of ours for each partition of the table's topic.

    The table's option `open_store` makes one from a partition's number; `opened` is told how many
    there are when some have been. Faust stops tables before
    the consumer runs its last transaction, which still reads: so `stop` does nothing, and whoever
    ends the consumer calls `close`.
    """

    def __post_init__(self) -> None:
        """Read the table's options; Faust's services are made in two steps."""
        self.data: dict[int, Any] = {}

    async def on_rebalance(
        self,
        assigned: set[Any],
        revoked: set[Any],
        newly_assigned: set[Any],
        generation_id: int = 0,
    ) -> None:
        """Close the stores of revoked partitions, open empty ones for the new ones."""
        del assigned, generation_id  # Partitions that stay keep their stores.
        # A partition that comes back without a word in between is a new assignment all the same.
        for partition in sorted(self._partitions(revoked) | self._partitions(newly_assigned)):
            self._close_partition(partition)
        open_store: Callable[[int], Any] = self.options["open_store"]
        for partition in sorted(self._partitions(newly_assigned)):
            self.data[partition] = open_store(partition)
        if newly_assigned:
            self.options["opened"](len(self.data))

    async def stop(self) -> None:
        """Do nothing: see the class."""

    def close(self) -> None:
        """Close the stores of all partitions. Twice is harmless."""
        for partition in sorted(self.data):
            self._close_partition(partition)

    def _opened(self, partition: int) -> Any:
        assert partition in self.data, f"{self.table_name} {partition} is not assigned to us"
        return self.data[partition]

    def _close_partition(self, partition: int) -> None:
        store = self.data.pop(partition, None)
        if store is not None:
            store.close()

    def _partitions(self, tps: set[Any]) -> set[int]:
        topics = self.table.changelog_topic.topics
        return {tp.partition for tp in tps if tp.topic in topics}

    # What Faust's interface demands beside. The mapping is a read-only view of what is open.

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        _refuse(key, value)

    def __delitem__(self, key: Any) -> NoReturn:
        _refuse(key)

    def update(self, *rows: Any, **more: Any) -> NoReturn:
        """Refuse: read-only."""
        _refuse(*rows, *more)

    def clear(self) -> NoReturn:
        """Refuse: read-only."""
        _refuse()

    def persisted_offset(self, tp: Any) -> None:
        """Nothing survives here: the log does."""

    def apply_changelog_batch(self, batch: Any, to_key: Any, to_value: Any) -> NoReturn:
        """Refuse: there is no changelog, so Faust never recovers us."""
        _refuse(batch, to_key, to_value)

    def reset_state(self) -> None:
        """Do nothing for `faust reset`: stores are empty whenever they are opened."""

    async def backup_partition(self, *_: Any, **__: Any) -> None:
        """Do nothing: there is nothing to lose."""

    def restore_backup(self, *_: Any, **__: Any) -> None:
        """Do nothing, as above."""


class SpanTableStore(PartitionedStore):
    """The span stores, by partition."""

    def for_partition(self, partition: int) -> SpanStore:
        """Return the store of an assigned partition; any other is our own bug."""
        store: SpanStore = self._opened(partition)
        return store


class DecisionTableStore(PartitionedStore):
    """The decision stores, by partition."""

    def for_partition(self, partition: int) -> DecisionStore:
        """Return the store of an assigned partition; any other is our own bug."""
        store: DecisionStore = self._opened(partition)
        return store


def _table(
    app: faust.App,
    name: str,
    scheme: str,
    topic: Any,
    open_store: Callable[[int], Any],
    *,
    opened: Callable[[int], None] = lambda _: None,
) -> Any:
    table = SourceTopicTable(
        app,
        name=name,
        store=f"{scheme}://",
        changelog_topic=topic,
        options={"open_store": open_store, "opened": opened},
    )
    return app.tables.add(table)


def _refuse(*rows: object) -> NoReturn:
    raise TypeError(f"the table is read-only, its stores are not: {rows!r}")
