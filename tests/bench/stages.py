"""The stages of a span's way, each by itself: the product's own functions on the corpus' records.

Nothing of the product is instrumented. What the sampler asks of its policies is recorded once,
untimed; replayed by itself, timed; and taken off. So is what it asks of its store, for a store on
disk; bodies in memory are held by the fold itself.
"""

import contextlib
import gc
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

from confluent_kafka import Message

from stream import app, clock
from stream.host import Host
from stream.kafka.commit import Receipt
from stream.kafka.log_state import Identity
from stream.kafka.partitioner import PARTITIONERS
from stream.kafka.receive import Batch, Receiver
from stream.otlp.scan import scan
from stream.sampling.limits import OpenTracesBudget
from stream.sampling.matcher import Matcher
from stream.sampling.policies.evaluate import Policies
from stream.sampling.stores import DecisionStore, SpanStore
from stream.settings.compiled import policies_of
from stream.settings.load import load
from stream.state.memory import MemoryDecisionStore, MemorySpanStore
from stream.state.storage import Storage
from stream.state.tables import Tables
from stream.worker.restore import Restore, ResumePoint
from stream.worker.transaction import Transaction
from stream.worker.worker import Worker
from tests.bench.clients import consumed, joined
from tests.bench.polls import as_messages, in_polls
from tests.bench.preload import Loaded
from tests.bench.recording import Recording, RecordingSpanStore
from tests.harness.topics import PARTITIONS

# Half a second of a worker at full speed.
POLLS_A_TRANSACTION = 8
IDENTITY = Identity("bench", "bench", "bench")
START = ResumePoint(0, 0, 0, 0, 0, 0, 0)

STAGES = {
    "consume": "fetch and consume(), messages dropped",
    "receive": "Receiver.receive less scan",
    "scan": "scan of every record",
    "fold": "TailSampler.fold less judge: bodies held in memory",
    "judge": "Policies.judge of every trace",
    "store": "put, get, delete of a SpanStore on disk",
    "plan": "Worker.plan: merge, stamp",
    "settle": "Worker.committed",
    "transactions": "Committer.commit",
}
"""The stages, in the order of the way. Those on clients or stores count all threads, the rest one.

`plan` makes the decision records too, `settle` remembers the decisions and counts.
"""

Measure = Callable[[str], contextlib.AbstractContextManager[None]]


class StoresOnly(Tables):
    """Stores by partition, without Faust's tables around them."""

    def __init__(self, open_spans: Callable[[int], SpanStore]) -> None:
        self.traces = OpenTracesBudget()
        self._stores: dict[int, tuple[SpanStore, DecisionStore]] = {
            number: (open_spans(number), MemoryDecisionStore()) for number in range(PARTITIONS)
        }

    def for_partition(self, number: int) -> tuple[SpanStore, DecisionStore]:
        return self._stores[number]


class Stages:
    """Measures every stage over the first records that are loaded, again and again.

    `config` is the settings' file of a worker, its topics are there.
    """

    def __init__(self, config: Path, loaded: Loaded) -> None:
        self._settings = load(config, (), {})
        self._loaded = loaded
        self.spans = sum(record.spans for record in loaded.first)
        self._polls = list(in_polls(loaded.first))
        matcher = Matcher()
        self._policies = policies_of(self._settings.tail_sampling, matcher)
        self._scan_plan = matcher.plan()
        partitioner = PARTITIONERS[self._settings.topics.partitioner]
        self._receiver = Receiver(self._scan_plan, partitioner, partitions=PARTITIONS)
        self._epochs = dict.fromkeys(range(PARTITIONS), 1)
        self._batches = [self._received(as_messages(poll)) for poll in self._polls]
        self._recording = self._record()
        # As the host does at its start: what lives for ever is not walked.
        gc.collect()
        gc.freeze()
        gc.set_threshold(200_000, 50, 50)

    def round(self) -> dict[str, dict[str, float]]:
        """Return CPU microseconds a span by stage, for each storage."""
        spent: Counter[str] = Counter()
        spent["consume"] = consumed(self._settings, self._loaded.records)
        self._receive(_stopwatch(spent, time.thread_time_ns))
        self._way(_stopwatch(spent, time.thread_time_ns), StoresOnly(lambda _: MemorySpanStore()))
        self._judge(_stopwatch(spent, time.thread_time_ns))
        on_disk = self._store("rocksdb").total()
        self._transactions(_stopwatch(spent, time.process_time_ns))
        each = {
            "receive": spent["receive"] - spent["scan"],
            "scan": spent["scan"],
            "fold": spent["fold"] - spent["judge"],
            "judge": spent["judge"],
            "plan": spent["plan"],
            "settle": spent["settle"],
            "transactions": spent["transactions"],
        }
        a_span = {name: ns / 1000 / self.spans for name, ns in each.items()}
        a_span["consume"] = spent["consume"] / 1000 / self._loaded.expected.spans
        stores = {"memory": 0, "rocksdb": on_disk}
        return {kind: {**a_span, "store": ns / 1000 / self.spans} for kind, ns in stores.items()}

    def _received(self, messages: list[Message]) -> list[Batch]:
        errors: list[object] = []
        batches = self._receiver.receive(messages, self._epochs, errors)
        assert not errors
        return batches

    def _receive(self, measure: Measure) -> None:
        """Receive and scan by turns: the one less the other has to see the same machine."""
        plan = self._scan_plan
        for poll in self._polls:
            messages = as_messages(poll)
            values = [record.value for record in poll]
            for value in values:  # as consume() leaves them, which has just written them: warm
                crc32(value)
            with measure("receive"):
                self._received(messages)
                messages.clear()
            with measure("scan"):
                for value in values:
                    scan(value, plan)

    def _judge(self, measure: Measure) -> None:
        judge = self._policies.judge
        with measure("judge"):
            for trace, body_bytes in self._recording.judged:
                judge(trace, body_bytes=body_bytes)

    def _way(
        self, measure: Measure, tables: Tables, policies: Policies | None = None
    ) -> list[Transaction]:
        """Fold and deliver everything, as the loop does, but for the committer."""
        transactions: list[Transaction] = []
        worker = self._worker(tables, policies or self._policies)
        for turn, batches in enumerate(self._batches, start=1):
            with measure("fold"):
                for batch in batches:
                    worker.fold(batch.partition, batch.records, wall_ms=clock.now_ms())
            if turn % POLLS_A_TRANSACTION == 0:
                transactions += _delivered(worker, measure)
        with measure("fold"):
            for partition in worker.partitions.values():
                sampler = partition.sampler
                sampler.idle(wall_ms=clock.now_ms(), position=sampler.position)
        return transactions + _delivered(worker, measure)

    def _worker(self, tables: Tables, policies: Policies) -> Worker:
        windows = app._windows(self._settings)
        open_partition = app._opener(self._settings, tables, policies, windows)
        worker = Worker()
        for number in range(PARTITIONS):
            opened = open_partition(number, IDENTITY)
            restore = Restore(START, identity=IDENTITY, decisions=opened.decisions)
            worker.ready(opened.build(START, restore))
        return worker

    def _record(self) -> Recording:
        recording = Recording()
        policies = policies_of(self._settings.tail_sampling, Matcher())
        # Set on the object: whoever has it calls the recorder instead.
        vars(policies).update(judge=recording.judge(policies.judge), _judge=None)
        tables = StoresOnly(lambda number: RecordingSpanStore(recording, number))
        recording.transactions = self._way(recording.phase, tables, policies)
        return recording

    def _store(self, kind: str) -> Counter[str]:
        spent: Counter[str] = Counter()
        measure = _stopwatch(spent, time.process_time_ns)
        with tempfile.TemporaryDirectory(prefix="tailstream-bench-") as directory:
            storage = Storage(
                Path(directory),
                memory_bytes=self._settings.storage.memory_bytes,
                spans=kind,
                decisions="memory",
                retention_ms=round(self._settings.decisions.retention_s * 1000),
            )
            stores = [storage.open_spans(number) for number in range(PARTITIONS)]
            for phase, calls in self._recording.calls:
                bound = [(getattr(stores[number], name), args) for number, name, args in calls]
                with measure(phase):
                    for call, args in bound:
                        call(*args)
            for store in stores:
                store.close()
            storage.close()
        return spent

    def _transactions(self, measure: Measure) -> None:
        committer = app._committer(self._settings, _no_host)
        committer.start()
        with joined(self._settings) as group_metadata:
            for transaction in self._recording.transactions:
                with measure("transactions"):
                    committer.commit(transaction.plans, group_metadata)


def _delivered(worker: Worker, measure: Measure) -> list[Transaction]:
    transactions: list[Transaction] = []
    while True:
        with measure("plan"):
            transaction = worker.plan()
        if transaction is None:
            return transactions
        transactions.append(transaction)
        with measure("settle"):
            worker.committed(Receipt({}, seconds=0.1))
        if not worker.more:
            return transactions


def _stopwatch(spent: Counter[str], cpu_ns: Callable[[], int]) -> Measure:
    """Return what adds the CPU nanoseconds of a block to `spent`, under a name."""

    @contextlib.contextmanager
    def measure(name: str) -> Iterator[None]:
        before_ns = cpu_ns()
        yield
        spent[name] += cpu_ns() - before_ns

    return measure


def _no_host() -> Host:
    raise AssertionError("a transactional committer asks for no host")
