"""How the memory that is configured is shared out among all that grows."""

from dataclasses import dataclass

ROCKSDB_EIGHTHS = 2
BODIES_EIGHTHS = 3
"""RocksDB's memtables and cache get so many eighths of the memory; more where all bodies are there:
what is discarded before its memtable is full is never written to disk."""

INBOX_SHARE = 8
INBOX_BYTES_MAX = 64 << 20
"""What was polled and not folded yet: an eighth; more than this hides no latency."""

FETCHED_SHARE = 16
FETCHED_BYTES_MAX = 32 << 20
"""What the client has fetched and we have not polled: a sixteenth."""

TRANSACTION_SHARE = 16
TRANSACTION_BYTES_MAX = 32 << 20
TRANSACTION_COPIES = 2
"""The bodies of one transaction: a sixteenth, once as they are merged and once as the client sends
them."""

DECISIONS_SHARE = 4
UNDELIVERED_SHARE = 4


@dataclass(frozen=True, slots=True)
class Shares:
    """Bytes of the memory for each part.

    `rocksdb`, `inbox`, `fetched` and the copies of a `transaction` are set aside. The rest is
    `held`: bodies, which spill; within it `decisions`, above which the oldest decisions spill;
    `open`, above which the oldest open traces are decided early, decisions in memory included;
    `undelivered`, above which reading waits. `open` and `undelivered` fill `held`.
    """

    rocksdb: int
    inbox: int
    fetched: int
    transaction: int
    held: int
    decisions: int
    open: int
    undelivered: int

    @classmethod
    def of(cls, memory_bytes: int, *, rocksdb: bool, bodies: bool = False) -> "Shares":
        """Share it out; `rocksdb`: whether there is a database, `bodies`: with all the bodies."""
        eighths = BODIES_EIGHTHS if bodies else ROCKSDB_EIGHTHS
        database = memory_bytes * eighths // 8 if rocksdb else 0
        inbox = min(memory_bytes // INBOX_SHARE, INBOX_BYTES_MAX)
        fetched = min(memory_bytes // FETCHED_SHARE, FETCHED_BYTES_MAX)
        transaction = min(memory_bytes // TRANSACTION_SHARE, TRANSACTION_BYTES_MAX)
        held = memory_bytes - database - inbox - fetched - TRANSACTION_COPIES * transaction
        undelivered = held // UNDELIVERED_SHARE
        return cls(
            rocksdb=database,
            inbox=inbox,
            fetched=fetched,
            transaction=transaction,
            held=held,
            decisions=held // DECISIONS_SHARE,
            open=held - undelivered,
            undelivered=undelivered,
        )
