"""`tailstream exemplars` and `tailstream pin` against a real Kafka and real HTTP servers."""

import json
import os
import signal
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.broker import Broker
from tests.harness.children import Child
from tests.harness.http_pages import Asked, Page, served
from tests.harness.load import partition_of
from tests.harness.otlp_metrics import KINDS, as_json, metrics_of, one_point
from tests.harness.ports import free_ports
from tests.harness.reading import Stored, read_whole
from tests.harness.topics import GroupOffsets, end_offsets, wait_for

pytestmark = pytest.mark.integration

COMMAND = Path(sys.executable).with_name("tailstream")
INPUT_PARTITIONS = 6
METRICS_PARTITIONS = 3
# A multiple of the partitions, so that a number tells its place.
CHUNK = 300
TIMEOUT_S = 60.0
NOW_MS = 1_790_000_000_000


@dataclass
class Space:
    """Topics that nobody else uses, and the commands run on them as an operator runs them."""

    bootstrap: str
    home: Path
    prefix: str = field(default_factory=lambda: f"exemplars_{uuid.uuid4().hex[:12]}")
    children: list[Child] = field(default_factory=list)
    port: int = 0

    @property
    def input(self) -> str:
        return f"{self.prefix}_input"

    @property
    def metrics(self) -> str:
        return f"{self.prefix}_metrics"

    def create(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        counts = {self.input: INPUT_PARTITIONS, self.metrics: METRICS_PARTITIONS}
        new = [NewTopic(name, count, 1) for name, count in counts.items()]
        for created in admin.create_topics(new).values():
            created.result(TIMEOUT_S)

    def delete(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for deleted in admin.delete_topics([self.input, self.metrics]).values():
            deleted.result(TIMEOUT_S)

    def options(self, settings: Sequence[str]) -> list[str]:
        given = [
            f"kafka.bootstrap.servers={self.bootstrap}",
            f"worker.group={self.prefix}",
            f"topics.input={self.input}",
            f"topics.metrics={self.metrics}",
            *settings,
        ]
        return [word for one in given for word in ("--set", one)]

    def start(self, *settings: str) -> Child:
        self.port = free_ports(1)[0]
        options = self.options((f"web.port={self.port}", *settings))
        log = self.home / f"exemplars-{len(self.children)}.log"
        child = Child([str(COMMAND), "exemplars", *options], log=log, env={**os.environ})
        self.children.append(child)
        return child

    def pin(self, *arguments: str, stdin: str = "", settings: Sequence[str] = ()) -> "Ended":
        ended = subprocess.run(
            [str(COMMAND), "pin", *self.options(settings), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def send(self, values: Sequence[bytes], headers: Mapping[str, bytes] | None = None) -> None:
        """Send records of metrics, without keys, over all partitions in turn."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})
        for number, value in enumerate(values):
            producer.produce(
                self.metrics,
                value,
                partition=number % METRICS_PARTITIONS,
                headers=list((headers or {}).items()),
            )
            producer.poll(0)
        assert producer.flush(TIMEOUT_S) == 0

    def group(self) -> GroupOffsets:
        return GroupOffsets(self.bootstrap, f"{self.prefix}-exemplars", self.metrics)

    def wait_until_committed(self, child: Child) -> None:
        ends, group = end_offsets(self.bootstrap, self.metrics), self.group()

        def reached() -> bool:
            assert child.returncode() is None, child.log_tail()
            return group.committed() == {n: end for n, end in ends.items() if end}

        wait_for(f"all committed:\n{child.log_tail()}", reached, timeout_s=TIMEOUT_S)

    def pins(self) -> list[Stored]:
        return read_whole(self.bootstrap, self.input)

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def space(kafka: str, tmp_path: Path) -> Iterator[Space]:
    space = Space(kafka, tmp_path)
    space.create()
    yield space
    end_children(space)
    space.delete()


def end_children(space: Space) -> None:
    for child in space.children:
        if child.returncode() is None:
            child.end(signal.SIGKILL, timeout_s=TIMEOUT_S)


def end(child: Child) -> str:
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()
    return child.log_tail()


def id_of(number: int) -> bytes:
    return b"\x01" + number.to_bytes(15)


def keys_of(records: Sequence[Stored]) -> list[bytes]:
    return sorted(record.key for record in records)


def asked_for(record: Stored) -> dict[str, object]:
    assert list(record.headers) == ["tailstream.control"]
    return dict(msgpack.unpackb(record.headers["tailstream.control"]))


def test_each_exemplars_trace_is_pinned_once_in_its_own_partition(space: Space) -> None:
    kinds = [(kind, [(id_of(number), NOW_MS)]) for number, kind in enumerate(KINDS)]
    space.send([metrics_of(kinds).SerializeToString(), as_json(metrics_of(kinds))])
    space.send([one_point(id_of(number), id_of(number + 1)) for number in range(4, 200)])

    child = space.start("exemplars.ttl=90s")
    space.wait_until_committed(child)
    said = end(child)

    records = space.pins()
    assert keys_of(records) == sorted(id_of(number).hex().encode() for number in range(201))
    for record in records:
        assert record.partition == partition_of(record.key, INPUT_PARTITIONS)
        assert record.value == b""
        pin = {"v": 1, "kind": "pin", "ttl_ms": 90_000, "source": "exemplars (kafka)"}
        assert asked_for(record) == pin
    assert "400 seen, 201 pinned, 199 repeated, 0 without trace, 0 invalid" in said


def test_what_cannot_be_read_is_counted_and_told_by_its_place_and_the_rest_goes_on(
    space: Space,
) -> None:
    space.send([one_point(id_of(1)), b"\x0a\xff\xff\xff\xff\x0f", b'{"resourceMetrics": 1}'])
    space.send([one_point(bytes(16), b"short", b"", id_of(2))])
    space.send([b"spans of somebody"], {"otelcol.signal": b"traces"})
    space.send([one_point(id_of(3))], {"otelcol.signal": b"metrics"})

    child = space.start()
    space.wait_until_committed(child)
    metrics = space.page("/metrics")
    assert space.page("/livez") == space.page("/readyz") == "ok\n"
    said = end(child)

    assert keys_of(space.pins()) == [id_of(number).hex().encode() for number in (1, 2, 3)]
    assert "1@0" in said or "2@0" in said, said
    for line in (
        'tailstream_exemplars_records_total{kind="malformed"} 2.0',
        'tailstream_exemplars_records_total{kind="skipped"} 1.0',
        'tailstream_exemplars_records_total{kind="read"} 3.0',
        'tailstream_exemplars_total{outcome="invalid",source="kafka"} 2.0',
        'tailstream_exemplars_total{outcome="without_trace",source="kafka"} 1.0',
        'tailstream_exemplars_total{outcome="pinned",source="kafka"} 3.0',
        'tailstream_exemplars_lag_records{partition="0"} 0.0',
        "tailstream_exemplars_data_points_total 3.0",
    ):
        assert line in metrics, metrics
    assert "tailstream_spans_total" not in metrics


def test_a_kill_at_any_time_leaves_no_committed_exemplar_without_its_pin(space: Space) -> None:
    group, sent = space.group(), 0
    fast = ("worker.session_timeout=6s",)

    def some_progress_while_more_comes() -> bool:
        nonlocal sent
        progress = sum(group.committed().values()) > 0
        space.send([one_point(id_of(sent + number)) for number in range(CHUNK)])
        sent += CHUNK
        return progress

    # Pins lie in the client for longer than offsets wait for their commit, and what was sent just
    # before the kill cannot have been committed.
    child = space.start(*fast, "kafka.linger.ms=2000")
    wait_for("some progress", some_progress_while_more_comes, timeout_s=TIMEOUT_S)
    child.end(signal.SIGKILL, timeout_s=TIMEOUT_S)
    committed = group.committed()
    safe = {
        id_of(METRICS_PARTITIONS * offset + partition).hex().encode()
        for partition, end_offset in committed.items()
        for offset in range(end_offset)
    }
    assert safe <= set(keys_of(space.pins())), "committed before the pin was safe"
    assert len(safe) < sent, "it was killed after its work"

    last = space.start(*fast)
    space.wait_until_committed(last)
    end(last)
    expected = {id_of(number).hex().encode() for number in range(sent)}
    assert set(keys_of(space.pins())) == expected


def test_exemplars_of_prometheus_and_of_endpoints_are_pinned_through_their_outages(
    space: Space,
) -> None:
    one, two, three = (id_of(number).hex() for number in (1, 2, 3))
    exemplar = {"labels": {"traceID": one.lstrip("0")}, "value": "6", "timestamp": 1.0}
    data = [{"seriesLabels": {}, "exemplars": [exemplar]}]
    good = Page(json.dumps({"status": "success", "data": data}).encode())
    asked: list[Asked] = []

    def prometheus(request: Asked) -> Page:
        asked.append(request)
        return Page(b"starting", 503) if len(asked) < 3 else good

    text = (
        "# TYPE latency histogram\n"
        f'latency_bucket{{le="2.5"}} 1 # {{trace_id="{two}"}} 2.0 1600096945.479\n'
        'latency_bucket{le="+Inf"} 1\nlatency_count 1\nlatency_sum 2.0\n'
        f'# TYPE orders counter\norders_total 3.0 # {{trace_id="{three}"}} 1.0\n# EOF\n'
    )
    page = Page(text.encode(), content_type="application/openmetrics-text; version=1.0.0")
    with served(prometheus) as api, served(lambda _: page) as shop:
        child = space.start(
            "exemplars.kafka=false",
            f"exemplars.prometheus.url={api.url}",
            "exemplars.prometheus.interval=200ms",
            f"exemplars.scrape.urls=[{shop.url}/metrics, http://127.0.0.1:1/metrics]",
            "exemplars.scrape.interval=200ms",
        )
        outcome = 'tailstream_exemplars_total{outcome="repeated",source="prometheus"}'
        wait_for("a repetition", lambda: found(space, outcome) >= 1, timeout_s=TIMEOUT_S)
        metrics = space.page("/metrics")
        said = end(child)

    assert keys_of(space.pins()) == sorted(each.encode() for each in (one, two, three))
    assert {asked_for(record)["source"] for record in space.pins()} == {
        "exemplars (prometheus)",
        "exemplars (scrape)",
    }
    failed = 'outcome="failed",source="prometheus"'
    assert f'tailstream_exemplars_polls_total{{{failed},target="{api.url}"}} 2.0' in metrics
    assert "503" in said
    assert "http://127.0.0.1:1/metrics" in said


def found(space: Space, name: str) -> float:
    """Return a sample's value on the page, 0 where there is none, or no page yet."""
    try:
        page = space.page("/metrics")
    except urllib.error.URLError:
        return 0.0
    return next((float(line.split()[-1]) for line in page.splitlines() if name in line), 0.0)


def test_pins_wait_for_a_broker_that_is_away_and_none_is_lost(
    own_broker: Broker, tmp_path: Path
) -> None:
    space = Space(own_broker.bootstrap, tmp_path)
    space.create()
    try:
        space.send([one_point(id_of(1))])
        child = space.start("worker.session_timeout=30s")
        space.wait_until_committed(child)

        own_broker.stop()
        own_broker.start()
        space.send([one_point(id_of(number)) for number in range(2, 50)])
        space.wait_until_committed(child)
        end(child)

        assert keys_of(space.pins()) == [id_of(number).hex().encode() for number in range(1, 50)]
    finally:
        end_children(space)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("topics.metrics=exemplars_nowhere", "topics.metrics is 'exemplars_nowhere': the cluster"),
        ("topics.input=exemplars_nowhere", "topics.input is 'exemplars_nowhere': the cluster"),
    ],
)
def test_what_an_operator_has_to_mend_ends_it_with_2(space: Space, setting: str, said: str) -> None:
    child = space.start(setting)
    assert child.wait(timeout_s=TIMEOUT_S) == 2
    assert said in child.log_tail()


def test_a_taken_port_ends_it_with_2_and_names_the_setting(space: Space) -> None:
    with served(lambda _: Page(b"")) as other:
        child = space.start(f"web.port={other.url.rsplit(':', 1)[1]}")
        assert child.wait(timeout_s=TIMEOUT_S) == 2
    assert "web.port" in child.log_tail()


# tailstream pin


def test_pin_says_where_each_pin_lies_and_it_lies_there(space: Space) -> None:
    first, second = id_of(1).hex(), id_of(2).hex()
    parent = f"00-{second}-0102030405060708-01"

    ended = space.pin(
        first, "-", "--ttl", "2m", "--source", "on call", stdin=f"{parent}\n{first}\n"
    )

    assert ended.code == 0, ended.err
    records = {record.key.decode(): record for record in space.pins()}
    assert sorted(records) == [first, second]
    told = dict(line.split(" pinned for 2m: ") for line in ended.out.splitlines())
    assert told == {
        trace_id: f"{space.input} {record.partition}@{record.offset}"
        for trace_id, record in records.items()
    }
    for record in records.values():
        assert record.partition == partition_of(record.key, INPUT_PARTITIONS)
        assert record.value == b""
        pin = {"v": 1, "kind": "pin", "ttl_ms": 120_000, "source": "on call"}
        assert asked_for(record) == pin


def test_pin_writes_to_every_partition_where_asked(space: Space) -> None:
    ended = space.pin(id_of(1).hex(), "--all-partitions", settings=("exemplars.json_input=true",))

    assert ended.code == 0, ended.err
    records = space.pins()
    assert [record.partition for record in records] == list(range(INPUT_PARTITIONS))
    assert {record.value for record in records} == {b"{}"}
    places = ", ".join(f"{number}@0" for number in range(INPUT_PARTITIONS))
    assert ended.out == f"{id_of(1).hex()} pinned for 10m: {space.input} {places}\n"


def test_pin_places_keys_as_java_does_where_the_settings_say_so(space: Space) -> None:
    ids = [id_of(number).hex() for number in range(50)]

    ended = space.pin("-", stdin="\n".join(ids), settings=("topics.partitioner=murmur2",))

    assert ended.code == 0, ended.err
    records = space.pins()
    assert len(records) == 50
    for record in records:
        assert record.partition == java_partition(record.key, INPUT_PARTITIONS)


def test_pin_refuses_a_topic_that_is_not_there(space: Space) -> None:
    ended = space.pin(id_of(1).hex(), settings=("topics.input=exemplars_nowhere",))
    assert ended.code == 2
    assert "topics.input is 'exemplars_nowhere': the cluster has no such topic" in ended.err


def java_partition(key: bytes, partitions: int) -> int:
    """Return a key's partition as Kafka's Java client has it: (murmur2 & 0x7fffffff) % count."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(key)
    for (word,) in struct.iter_unpack("<I", key):
        k = word * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    h = (h ^ h >> 13) * m & mask
    return ((h ^ h >> 15) & 0x7FFFFFFF) % partitions
