"""The limit on what all partitions of the process hold on disk together."""

from typing import Protocol

from stream.sampling.limits import fair_level

FILES_SHARE = 2
"""The limit is this many times what rows may take: files hold what was discarded, too, until
RocksDB compacts them (seen: 1.6 times the rows; their size itself is a metric, not a limit)."""


class OnDisk(Protocol):
    """A store that holds rows on disk."""

    def disk_bytes(self) -> int:
        """Bytes of rows that were not discarded."""


class DiskBudget:
    """How many bytes of rows the stores of all partitions may hold for files of `limit_bytes`.

    `held_bytes` is their sum. It is looked at for every batch: whoever holds more or less adds the
    difference.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes // FILES_SHARE
        self.held_bytes = 0
        self._stores: list[OnDisk] = []
        self._fixed: list[OnDisk] = []

    def join(self, store: OnDisk) -> None:
        """Count this store from now on."""
        self._stores.append(store)

    def join_fixed(self, store: OnDisk) -> None:
        """Count this store from now on; nothing of it can go early."""
        self._fixed.append(store)

    def leave(self, store: OnDisk) -> None:
        """Count this store no longer. Harmless if it has left."""
        self._stores = [other for other in self._stores if other is not store]
        self._fixed = [other for other in self._fixed if other is not store]

    def over(self) -> bool:
        """Return whether they hold more than they may."""
        return self.held_bytes > self.limit_bytes

    def level(self) -> int:
        """Return how much each store that can give way may hold for the limit to be kept."""
        fixed_bytes = sum([store.disk_bytes() for store in self._fixed])
        held = [store.disk_bytes() for store in self._stores]
        return fair_level(held, max(0, self.limit_bytes - fixed_bytes))
