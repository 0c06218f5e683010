"""`tailstream rekey` against a real Kafka, checked by an independent decode."""

import os
import signal
import struct
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from tests.harness.children import Child
from tests.harness.load import Load, partition_of
from tests.harness.oracle import decode, placed_spans, traces_of
from tests.harness.pages import Pages
from tests.harness.ports import free_ports
from tests.harness.reading import Stored, read_whole
from tests.harness.topics import GroupOffsets, end_offsets, wait_for

pytestmark = pytest.mark.integration

COMMAND = Path(sys.executable).with_name("tailstream")
PARTITIONS = 6
TIMEOUT_S = 60.0
FOREVER = {"retention.ms": "-1"}
"""The records' times are old, and the broker deletes by the records' own times."""

LARGE = {"max.message.bytes": "10000000"}
FIRST_MS = 1_790_000_000_000


@dataclass
class Space:
    """Topics that nobody else uses, and the command run on them as an operator runs it."""

    bootstrap: str
    home: Path
    prefix: str = field(default_factory=lambda: f"rekey_{uuid.uuid4().hex[:12]}")
    children: list[Child] = field(default_factory=list)
    pages: Pages = field(default_factory=lambda: Pages(free_ports(1)[0]))

    @property
    def topics(self) -> dict[str, str]:
        roles = ("unkeyed", "input", "dead_letters")
        return {role: f"{self.prefix}_{role}" for role in roles}

    def create(self, **config: str) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        # More partitions in the target than in the source: nothing is where it was.
        counts = {"unkeyed": 3, "input": PARTITIONS, "dead_letters": 1}
        new = [
            NewTopic(name, counts[role], 1, config=FOREVER | (config if role == "input" else LARGE))
            for role, name in self.topics.items()
        ]
        for created in admin.create_topics(new).values():
            created.result(TIMEOUT_S)

    def delete(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for deleted in admin.delete_topics(list(self.topics.values())).values():
            deleted.result(TIMEOUT_S)

    def start(self, *settings: str) -> Child:
        given = [f"kafka.bootstrap.servers={self.bootstrap}", f"worker.group={self.prefix}"]
        given += [f"topics.{role}={name}" for role, name in self.topics.items()]
        self.pages = Pages(free_ports(1)[0])
        given.append(f"web.port={self.pages.port}")
        options = [word for one in (*given, *settings) for word in ("--set", one)]
        log = self.home / f"rekey-{len(self.children)}.log"
        child = Child([str(COMMAND), "rekey", *options], log=log, env={**os.environ})
        self.children.append(child)
        return child

    def send(self, values: list[bytes], headers: list[tuple[str, bytes]] | None = None) -> None:
        """Send records without keys, one millisecond of their own time apart."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "linger.ms": 5,
                "message.max.bytes": 10_000_000,
            }
        )
        for number, value in enumerate(values):
            producer.produce(
                self.topics["unkeyed"],
                value,
                partition=number % 3,
                timestamp=FIRST_MS + number,
                headers=headers,
            )
            producer.poll(0)
        assert producer.flush(TIMEOUT_S) == 0

    def wait_until_committed(self, child: Child) -> None:
        """Return when the group has committed the end of the source."""
        ends = end_offsets(self.bootstrap, self.topics["unkeyed"])
        group = GroupOffsets(self.bootstrap, f"{self.prefix}-rekey", self.topics["unkeyed"])

        def reached() -> bool:
            assert child.returncode() is None, child.log_tail()
            return group.committed() == {n: end for n, end in ends.items() if end}

        wait_for(f"all committed:\n{child.log_tail()}", reached, timeout_s=TIMEOUT_S)

    def read(self, role: str) -> list[Stored]:
        return read_whole(self.bootstrap, self.topics[role])


@pytest.fixture
def space(kafka: str, tmp_path: Path) -> Iterator[Space]:
    space = Space(kafka, tmp_path)
    space.create(**{"message.timestamp.type": "CreateTime"})
    yield space
    for child in space.children:
        if child.returncode() is None:
            child.end(signal.SIGKILL, timeout_s=TIMEOUT_S)
    space.delete()


def test_every_span_of_an_unkeyed_topic_comes_once_to_its_traces_partition_with_its_time(
    space: Space,
) -> None:
    values = mixed_records(spans=6_000)
    space.send(values, [("tenant", b"blue")])

    child = space.start()
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    expected = Counter(
        (span, FIRST_MS + number)
        for number, value in enumerate(values)
        for span in spans_with_context(value)
    )
    records = space.read("input")
    found = Counter(
        (span, record.timestamp_ms)
        for record in records
        for span in spans_with_context(record.value)
    )
    assert (expected - found).total() == 0, "spans are missing"
    assert (found - expected).total() == 0, "spans came twice, or changed"
    assert expected.total() > 5_000
    for record in records:
        keys = {span.trace_id.hex().encode() for span in spans_of(record.value)}
        assert keys == {record.key}
        assert record.partition == partition_of(record.key, PARTITIONS)
        assert record.headers == {"tenant": b"blue"}
    assert space.read("dead_letters") == []


def test_murmur2_places_the_keys_as_java_does(space: Space) -> None:
    space.send([record_of(b"%016x" % number) for number in range(100)])

    child = space.start("topics.partitioner=murmur2")
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    records = space.read("input")
    assert len(records) == 100
    for record in records:
        assert record.partition == java_partition(record.key, PARTITIONS)


def test_bad_spans_become_dead_letters_that_say_where_they_came_from_and_good_ones_beside_them_pass(
    space: Space,
) -> None:
    mixed = TracesData.FromString(record_of(b"a" * 16))
    stray = mixed.resource_spans[0].scope_spans[0].spans.add()
    stray.CopyFrom(mixed.resource_spans[0].scope_spans[0].spans[0])
    stray.trace_id = bytes(16)
    values = [b"plain text", mixed.SerializeToString(), b"", b'{"resourceSpans": [']
    space.send(values)

    child = space.start()
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    assert [record.key for record in space.read("input")] == [(b"a" * 16).hex().encode()]
    letters = space.read("dead_letters")
    told = {
        (
            one.headers["tailstream.reason"],
            one.headers["tailstream.topic"].decode(),
            int(one.headers["tailstream.partition"]),
            int(one.headers["tailstream.offset"]),
        )
        for one in letters
    }
    source = space.topics["unkeyed"]
    assert told == {
        (b"malformed", source, 0, 0),
        (b"invalid_trace_id", source, 1, 0),
        (b"empty", source, 2, 0),
        (b"malformed", source, 0, 1),
    }
    assert {one.value for one in letters} > {b"plain text", b'{"resourceSpans": ['}
    assert "2 dead letters malformed" in child.log_tail()


def test_other_signals_are_skipped_and_counted(space: Space) -> None:
    space.send([b"metrics of somebody"] * 5, [("otelcol.signal", b"metrics")])
    space.send([record_of(b"t" * 16)], [("otelcol.signal", b"traces")])

    child = space.start()
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    assert len(space.read("input")) == 1
    assert space.read("dead_letters") == []
    assert "5 skipped" in child.log_tail()


def test_legal_records_without_a_span_are_counted(space: Space) -> None:
    space.send([b'{"traceId": "of something else"}', b"\x0a\x00", record_of(b"t" * 16)])

    child = space.start()
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    assert len(space.read("input")) == 1
    assert space.read("dead_letters") == []
    assert "2 no spans" in child.log_tail()


def test_the_pages_tell_what_became_of_the_records_and_how_far_it_is_behind(space: Space) -> None:
    space.send([record_of(bytes([number]) * 16) for number in range(1, 31)])
    space.send([b"\x0a\xff\xff\xff\xff\x0f"])
    space.send([b"metrics of somebody"] * 3, [("otelcol.signal", b"metrics")])
    space.send([b"\x0a\x00"])

    child = space.start()
    space.wait_until_committed(child)
    told = {
        'tailstream_rekey_records_total{kind="read"}': 35,
        'tailstream_rekey_records_total{kind="keyed"}': 30,
        'tailstream_rekey_records_total{kind="no_spans"}': 1,
        'tailstream_rekey_records_total{kind="skipped"}': 3,
        'tailstream_rekey_records_total{kind="lost_to_retention"}': 0,
        "tailstream_rekey_spans_total": 30,
        'tailstream_dead_letters_total{reason="malformed"}': 1,
        'tailstream_dead_letters_total{reason="empty"}': 0,
        **{f'tailstream_rekey_lag_records{{partition="{number}"}}': 0 for number in range(3)},
        **{f'tailstream_rekey_lag_seconds{{partition="{number}"}}': 0 for number in range(3)},
    }
    wait_for(
        "a measurement after the commit",
        lambda: {name: space.pages.value(name) for name in told} == told,
        timeout_s=TIMEOUT_S,
    )

    assert space.pages.text("/livez") == space.pages.text("/readyz") == "ok\n"
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()


def test_a_part_that_the_target_does_not_take_becomes_a_dead_letter_and_stops_nothing(
    kafka: str, tmp_path: Path
) -> None:
    space = Space(kafka, tmp_path)
    space.create(**{"max.message.bytes": "2000"})
    try:
        noise = Random(1).randbytes(4_000)
        large = TracesData.FromString(record_of(b"L" * 16))
        large.resource_spans[0].scope_spans[0].spans[0].name = noise.hex()
        space.send([large.SerializeToString(), record_of(b"s" * 16)])

        child = space.start()
        space.wait_until_committed(child)
        assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

        assert [record.key for record in space.read("input")] == [(b"s" * 16).hex().encode()]
        (letter,) = space.read("dead_letters")
        assert letter.headers["tailstream.reason"] == b"undeliverable"
        assert letter.value == large.SerializeToString()
    finally:
        space.delete()


def test_a_time_that_the_target_refuses_makes_a_dead_letter_and_stops_nothing(
    kafka: str, tmp_path: Path
) -> None:
    space = Space(kafka, tmp_path)
    space.create(**{"message.timestamp.before.max.ms": "60000"})
    try:
        now_ms = time.time_ns() // 1_000_000
        producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True})
        source = space.topics["unkeyed"]
        producer.produce(source, record_of(b"o" * 16), timestamp=FIRST_MS // 2, partition=0)
        producer.produce(source, record_of(b"g" * 16), timestamp=now_ms, partition=0)
        assert producer.flush(TIMEOUT_S) == 0

        child = space.start()
        space.wait_until_committed(child)
        assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

        assert [record.key for record in space.read("input")] == [(b"g" * 16).hex().encode()]
        (letter,) = space.read("dead_letters")
        assert letter.headers["tailstream.reason"] == b"undeliverable"
        assert letter.value == record_of(b"o" * 16)
    finally:
        space.delete()


def test_a_record_of_five_megabytes_passes_where_the_topics_take_it(
    kafka: str, tmp_path: Path
) -> None:
    space = Space(kafka, tmp_path)
    space.create(**{"max.message.bytes": "10000000"})
    try:
        large = TracesData.FromString(record_of(b"L" * 16))
        large.resource_spans[0].scope_spans[0].spans[0].name = Random(1).randbytes(2_500_000).hex()
        space.send([large.SerializeToString()])

        child = space.start()
        space.wait_until_committed(child)
        assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

        assert [record.value for record in space.read("input")] == [large.SerializeToString()]
        assert space.read("dead_letters") == []
    finally:
        space.delete()


def test_kill_and_restart_lose_nothing(space: Space) -> None:
    values = mixed_records(spans=60_000)
    space.send(values)
    group = GroupOffsets(space.bootstrap, f"{space.prefix}-rekey", space.topics["unkeyed"])
    fast = ("worker.session_timeout=6s",)

    child = space.start(*fast)
    wait_for("some progress", lambda: sum(group.committed().values()) > 0, timeout_s=TIMEOUT_S)
    child.end(signal.SIGKILL, timeout_s=TIMEOUT_S)
    at_kill = sum(group.committed().values())
    last = space.start(*fast)
    space.wait_until_committed(last)
    assert last.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, last.log_tail()

    assert at_kill < len(values), "it was killed after its work"
    expected = {span for value in values for span in spans_with_context(value)}
    found = {span for record in space.read("input") for span in spans_with_context(record.value)}
    assert len(expected - found) == 0, "spans are missing"
    assert len(found - expected) == 0, "spans changed"


def test_without_a_source_it_is_refused_with_setting_value_and_remedy(space: Space) -> None:
    for given, wrong in (
        ("topics.unkeyed=", 'topics.unkeyed = "": names no topic; set it'),
        (f"topics.unkeyed={space.topics['input']}", "topics.input has the same name; give each"),
        ("topics.unkeyed=rekey_nowhere", "topics.unkeyed is 'rekey_nowhere': the cluster has no"),
    ):
        child = space.start(given)
        assert child.wait(timeout_s=TIMEOUT_S) == 2
        assert wrong in child.log_tail()


def mixed_records(spans: int) -> list[bytes]:
    """Return records that hold several traces each, some as OTLP/JSON."""
    rng = Random(7)
    planned = Load(spans=spans, duration_s=1, late_after_s=1).records()
    protobuf = [r.value for r in planned if not r.value.startswith(b"{") and is_good(r.value)]
    json_records = [r.value for r in planned if r.value.startswith(b"{") and is_good(r.value)]
    assert json_records
    values = []
    while protobuf:
        count = rng.choice((1, 1, 2, 5))
        values.append(b"".join(protobuf[:count]))
        del protobuf[:count]
    return values + json_records


def is_good(value: bytes) -> bool:
    traces, bad = traces_of(value)
    return bool(traces) and not bad


def spans_of(value: bytes) -> list[Span]:
    return [placed.span for placed in placed_spans(decode(value))]


def spans_with_context(value: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return (resource, scope, span) of each span, all their fields serialised anew."""
    return [
        (placed.resource, placed.scope, placed.span.SerializeToString(deterministic=True))
        for placed in placed_spans(decode(value))
    ]


def record_of(trace_id: bytes) -> bytes:
    message = TracesData()
    span = message.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = trace_id, b"12345678", "alone"
    return message.SerializeToString()


def java_partition(key: bytes, partitions: int) -> int:
    """Return a key's partition as Kafka's Java client has it: (murmur2 & 0x7fffffff) % count."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(key)
    assert len(key) % 4 == 0, "no tail: ids are 32 characters"
    for (word,) in struct.iter_unpack("<I", key):
        k = word * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    h = (h ^ h >> 13) * m & mask
    return ((h ^ h >> 15) & 0x7FFFFFFF) % partitions
