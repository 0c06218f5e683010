"""`tailstream export` from a real Kafka to a real HTTP server, checked by an independent decode."""

import os
import signal
import socket
import sys
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from stream.testing.spans import a_trace, trace_id_of, traces_data
from tests.harness.backend import Answers, LocalBackend, Reply, trace_ids_of
from tests.harness.children import Child
from tests.harness.pages import Pages
from tests.harness.ports import free_ports
from tests.harness.reading import Stored, read_whole
from tests.harness.topics import GroupOffsets, end_offsets, wait_for

pytestmark = pytest.mark.integration

COMMAND = Path(sys.executable).with_name("tailstream")
PARTITIONS = 4
TIMEOUT_S = 60.0
POISON = 17
"""The trace that a backend may refuse."""


@dataclass
class Space:
    """Topics that nobody else uses, a backend, and the command run as an operator runs it."""

    bootstrap: str
    home: Path
    prefix: str = field(default_factory=lambda: f"export_{uuid.uuid4().hex[:12]}")
    children: list[Child] = field(default_factory=list)
    backends: list[LocalBackend] = field(default_factory=list)
    pages: Pages = field(default_factory=lambda: Pages(free_ports(1)[0]))

    @property
    def topics(self) -> dict[str, str]:
        return {role: f"{self.prefix}_{role}" for role in ("output", "dead_letters")}

    def create(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        new = [NewTopic(name, PARTITIONS, 1) for name in self.topics.values()]
        for created in admin.create_topics(new).values():
            created.result(TIMEOUT_S)

    def close(self) -> None:
        for child in self.children:
            if child.returncode() is None:
                child.end(signal.SIGKILL, timeout_s=TIMEOUT_S)
        for backend in self.backends:
            backend.close()
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for deleted in admin.delete_topics(list(self.topics.values())).values():
            deleted.result(TIMEOUT_S)

    def backend(self, answers: Answers) -> LocalBackend:
        backend = LocalBackend(answers)
        self.backends.append(backend)
        return backend

    def start(self, endpoint: str, *settings: str) -> Child:
        given = [f"kafka.bootstrap.servers={self.bootstrap}", f"worker.group={self.prefix}"]
        given += [f"topics.{role}={name}" for role, name in self.topics.items()]
        given += ["worker.session_timeout=6s", f"export.endpoint={endpoint}"]
        self.pages = Pages(free_ports(1)[0])
        given.append(f"web.port={self.pages.port}")
        options = [word for one in (*given, *settings) for word in ("--set", one)]
        log = self.home / f"export-{len(self.children)}.log"
        child = Child([str(COMMAND), "export", *options], log=log, env={**os.environ})
        self.children.append(child)
        return child

    def send(self, traces: int, *, first: int = 0) -> None:
        """Send traces of three spans, one a record, as the worker writes them."""
        # Idempotent, or a retry on the fresh topic would change the order.
        ordered = {"enable.idempotence": True, "linger.ms": 5}
        producer = Producer({"bootstrap.servers": self.bootstrap, **ordered})
        for number in range(first, first + traces):
            producer.produce(
                self.topics["output"],
                traces_data(a_trace(number)),
                trace_id_of(number).hex(),
                partition=number % PARTITIONS,
            )
        assert producer.flush(TIMEOUT_S) == 0

    def send_values(self, values: list[bytes]) -> None:
        """Send records as they are, over all partitions in turn."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})
        for number, value in enumerate(values):
            producer.produce(self.topics["output"], value, partition=number % PARTITIONS)
            producer.poll(0)
        assert producer.flush(TIMEOUT_S) == 0

    def send_in_transactions(self, traces: int) -> None:
        """Send them as the worker does: two transactions, each ends with a marker."""
        settings = {"bootstrap.servers": self.bootstrap, "transactional.id": self.prefix}
        producer = Producer(settings)
        producer.init_transactions(TIMEOUT_S)
        for half in (range(traces // 2), range(traces // 2, traces)):
            producer.begin_transaction()
            for number in half:
                value = traces_data(a_trace(number))
                producer.produce(self.topics["output"], value, partition=number % PARTITIONS)
            producer.commit_transaction(TIMEOUT_S)

    def group(self) -> GroupOffsets:
        return GroupOffsets(self.bootstrap, f"{self.prefix}-export", self.topics["output"])

    def commit(self, partition: int, offset: int) -> None:
        """Commit for the group, which has no member yet."""
        group = {"bootstrap.servers": self.bootstrap, "group.id": f"{self.prefix}-export"}
        consumer = Consumer(group)
        place = TopicPartition(self.topics["output"], partition, offset)
        consumer.commit(offsets=[place], asynchronous=False)
        consumer.close()

    def delete_records(self, partition: int, *, before: int) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        place = TopicPartition(self.topics["output"], partition, before)
        for deleted in admin.delete_records([place]).values():
            deleted.result(TIMEOUT_S)

    def wait(self, child: Child, what: str, reached: Callable[[], bool]) -> None:
        """Return when it is reached, while the command runs."""

        def looked() -> bool:
            assert child.returncode() is None, child.log_tail()
            return reached()

        wait_for(what, looked, timeout_s=TIMEOUT_S)

    def wait_until_committed(self, child: Child) -> None:
        """Return when the group has committed the end of the output topic."""
        ends = end_offsets(self.bootstrap, self.topics["output"])
        group = self.group()

        def reached() -> bool:
            return group.committed() == {number: end for number, end in ends.items() if end}

        try:
            self.wait(child, "everything committed", reached)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{group.committed()} {ends}\n{child.log_tail()}") from late

    def dead_letters(self) -> list[Stored]:
        return read_whole(self.bootstrap, self.topics["dead_letters"])


@pytest.fixture
def space(kafka: str, tmp_path: Path) -> Iterator[Space]:
    space = Space(kafka, tmp_path)
    space.create()
    yield space
    space.close()


def test_every_span_arrives_once_at_a_backend_that_takes_all_and_offsets_are_committed(
    space: Space,
) -> None:
    backend = space.backend(lambda _request, _before: Reply())
    space.send(2_000)
    child = space.start(
        backend.endpoint,
        "export.headers={Authorization: Bearer s3cr3t}",
        "export.request_bytes_max=100kB",
    )
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    assert backend.spans_by_trace() == {trace_id_of(number): 3 for number in range(2_000)}
    assert backend.requests < 50, "records are joined"
    assert {headers["Authorization"] for headers in backend.seen_headers} == {"Bearer s3cr3t"}
    assert {headers["Content-Encoding"] for headers in backend.seen_headers} == {"gzip"}
    assert "s3cr3t" not in child.log_tail(1000)
    assert "2,000 records, 6,000 spans" in child.log_tail()
    assert space.dead_letters() == []


def test_a_partitions_order_holds(space: Space) -> None:
    backend = space.backend(lambda _request, before: Reply(after_s=0.02 * (before % 3)))
    space.send(400)
    child = space.start(backend.endpoint, "export.request_bytes_max=4kB")
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    arrived: defaultdict[int, list[int]] = defaultdict(list)
    for request in backend.accepted:
        for trace_id in request[::3]:
            number = int.from_bytes(trace_id[1:], "big")
            arrived[number % PARTITIONS].append(number)
    assert len(arrived) == PARTITIONS
    for numbers in arrived.values():
        assert numbers == sorted(numbers)
        assert len(numbers) == 100


def test_503_and_429_are_tried_again_until_the_backend_takes_it(space: Space) -> None:
    busy = [Reply(503), Reply(429, {"Retry-After": "1"}), Reply(502), Reply(504)]
    backend = space.backend(
        lambda _request, before: busy[before - 1] if 1 <= before <= len(busy) else Reply()
    )
    space.send(50)
    child = space.start(backend.endpoint, "export.requests_max=1")
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    assert backend.spans_by_trace() == {trace_id_of(number): 3 for number in range(50)}
    assert "4 retries" in child.log_tail()
    assert space.dead_letters() == []


def test_a_backend_that_is_too_slow_is_asked_again_and_every_span_arrives(space: Space) -> None:
    backend = space.backend(
        lambda request, before: Reply(after_s=1.5 if request.resource_spans and before < 3 else 0)
    )
    space.send(50)
    child = space.start(backend.endpoint, "export.timeout=500ms")
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    assert "not within 0.5 s" in child.log_tail(100)
    assert set(backend.spans_by_trace()) == {trace_id_of(number) for number in range(50)}
    assert space.dead_letters() == []


def test_a_backend_that_is_not_there_yet_is_waited_for(space: Space) -> None:
    (port,) = free_ports(1)
    space.send(20)
    child = space.start(f"http://127.0.0.1:{port}")
    wait_for("a retry", lambda: "will be sent again" in child.log_tail(), timeout_s=TIMEOUT_S)
    assert space.group().committed() == {}

    later = LocalBackend(lambda _request, _before: Reply(), port=port)
    space.backends.append(later)
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    assert later.spans_by_trace() == {trace_id_of(number): 3 for number in range(20)}


def test_the_one_record_that_the_backend_refuses_becomes_a_dead_letter_and_the_others_arrive(
    space: Space,
) -> None:
    poison = trace_id_of(POISON)

    def answers(request: ExportTraceServiceRequest, _before: int) -> Reply:
        return Reply(400, body=b"bad trace") if poison in trace_ids_of(request) else Reply()

    backend = space.backend(answers)
    space.send(200)
    child = space.start(backend.endpoint)
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    expected = {trace_id_of(number): 3 for number in range(200) if number != POISON}
    assert backend.spans_by_trace() == expected
    (letter,) = space.dead_letters()
    assert letter.key == poison.hex().encode()
    assert letter.value == traces_data(a_trace(POISON))
    assert letter.headers == {
        "tailstream.reason": b"refused_by_backend",
        "tailstream.topic": space.topics["output"].encode(),
        "tailstream.partition": str(POISON % PARTITIONS).encode(),
        "tailstream.offset": str(POISON // PARTITIONS).encode(),
        "tailstream.truncated": b"false",
        "tailstream.answer": b"400: bad trace",
    }
    assert "1 dead letters refused by backend" in child.log_tail()


def test_partial_success_is_counted_not_repeated(space: Space) -> None:
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 2
    partial.partial_success.error_message = "too old"
    body = partial.SerializeToString()

    def answers(request: ExportTraceServiceRequest, _before: int) -> Reply:
        if not request.resource_spans:
            return Reply()
        return Reply(200, {"Content-Type": "application/x-protobuf"}, body)

    backend = space.backend(answers)
    space.send(1)
    child = space.start(backend.endpoint)
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    assert backend.spans_by_trace() == {trace_id_of(0): 3}
    assert "2 rejected spans" in child.log_tail()
    assert "too old" in child.log_tail()


def test_what_is_not_otlp_becomes_a_dead_letter_and_never_touches_its_neighbours(
    space: Space,
) -> None:
    backend = space.backend(lambda _request, _before: Reply())
    producer = Producer({"bootstrap.servers": space.bootstrap, "enable.idempotence": True})
    swallower = b"\x0a\x7f"  # would make the next record's first 127 bytes its own
    for value in (traces_data(a_trace(1)), swallower, b"", traces_data(a_trace(2))):
        producer.produce(space.topics["output"], value, partition=0)
    assert producer.flush(TIMEOUT_S) == 0
    child = space.start(backend.endpoint)
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    assert backend.spans_by_trace() == {trace_id_of(1): 3, trace_id_of(2): 3}
    (letter,) = space.dead_letters()
    assert (letter.value, letter.headers["tailstream.reason"]) == (swallower, b"malformed")


def test_killed_in_mid_work_it_repeats_but_loses_nothing(space: Space) -> None:
    backend = space.backend(lambda _request, _before: Reply(after_s=0.1))
    space.send(1_500)
    small = "export.request_bytes_max=8kB"
    child = space.start(backend.endpoint, small)
    wait_for("some progress", lambda: bool(space.group().committed()), timeout_s=TIMEOUT_S)
    child.end(signal.SIGKILL, timeout_s=TIMEOUT_S)
    at_kill = sum(space.group().committed().values())
    assert 0 < at_kill < 1_500, "it was killed after its work"
    child = space.start(backend.endpoint, small)
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    arrived = backend.spans_by_trace()
    assert set(arrived) == {trace_id_of(number) for number in range(1_500)}
    assert all(spans % 3 == 0 for spans in arrived.values())


def test_a_second_member_takes_partitions_over_and_nothing_is_lost(space: Space) -> None:
    backend = space.backend(lambda _request, _before: Reply(after_s=0.05))
    space.send(1_000)
    first = space.start(backend.endpoint, "export.request_bytes_max=8kB")
    wait_for("some progress", lambda: bool(space.group().committed()), timeout_s=TIMEOUT_S)
    second = space.start(
        backend.endpoint, "export.request_bytes_max=8kB", "worker.instance_id=worker-1"
    )
    wait_for("a rebalance", lambda: "revoked" in first.log_tail(200), timeout_s=TIMEOUT_S)
    space.send(400, first=1_000)
    space.wait_until_committed(second)
    for child in (first, second):
        assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    assert set(backend.spans_by_trace()) == {trace_id_of(number) for number in range(1_400)}


def test_records_that_the_topic_deleted_before_they_were_read_are_counted_and_passed(
    space: Space,
) -> None:
    backend = space.backend(lambda _request, _before: Reply())
    space.send(40)  # 10 in each partition
    space.commit(0, 2)
    space.delete_records(0, before=5)
    child = space.start(backend.endpoint)
    space.wait_until_committed(child)
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    deleted_or_done = {trace_id_of(offset * PARTITIONS) for offset in range(5)}
    everything = {trace_id_of(number) for number in range(40)}
    assert set(backend.spans_by_trace()) == everything - deleted_or_done
    assert "3 lost to retention" in child.log_tail()


def test_a_group_that_is_past_the_end_of_the_topic_ends_it_with_the_remedy(space: Space) -> None:
    backend = space.backend(lambda _request, _before: Reply())
    space.send(4)
    space.commit(0, 1_000)
    child = space.start(backend.endpoint)

    assert child.wait(timeout_s=TIMEOUT_S) == 2, child.log_tail()

    assert "above the end of the log" in child.log_tail(1)
    assert "kafka-consumer-groups.sh --delete" in child.log_tail(1)


def test_sigterm_ends_it_in_seconds_while_the_backend_hangs_and_commits_nothing_unacknowledged(
    space: Space,
) -> None:
    backend = space.backend(
        lambda request, _before: Reply(after_s=30.0 if request.resource_spans else 0.0)
    )
    space.send(10)
    child = space.start(backend.endpoint, "export.timeout=60s")
    wait_for("a request", lambda: backend.requests > 1, timeout_s=TIMEOUT_S)

    assert child.end(signal.SIGTERM, timeout_s=15) == 0, child.log_tail()

    assert space.group().committed() == {}


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(401, "export.headers"), (404, "set export.endpoint"), (301, "set export.endpoint")],
)
def test_an_endpoint_that_takes_nothing_from_us_ends_it_with_the_remedy(
    space: Space, status: int, remedy: str
) -> None:
    backend = space.backend(lambda _request, _before: Reply(status))
    space.send(5)
    child = space.start(backend.endpoint)

    assert child.wait(timeout_s=TIMEOUT_S) == 2, child.log_tail()

    (last,) = child.log_tail(1).splitlines()
    assert last.startswith(f"export.endpoint: {backend.endpoint}/v1/traces: ")
    assert f"{status}" in last
    assert remedy in last
    assert space.group().committed() == {}
    assert space.dead_letters() == []


def test_the_pages_tell_how_far_the_backend_is_behind_and_that_all_was_caught_up(
    space: Space,
) -> None:
    busy = threading.Event()
    busy.set()
    backend = space.backend(
        lambda request, _before: Reply(503 if busy.is_set() and request.resource_spans else 200)
    )
    space.send_in_transactions(40)
    child = space.start(backend.endpoint, "export.request_bytes_max=2kB")
    lag = [f'tailstream_export_lag_records{{partition="{number}"}}' for number in range(PARTITIONS)]

    space.wait(child, "the lag", lambda: all(space.pages.value(each) for each in lag))
    # 10 records in each partition, and a marker behind each of 2 transactions.
    assert [space.pages.value(each) for each in lag] == [12] * PARTITIONS
    assert space.pages.value('tailstream_export_lag_seconds{partition="0"}')
    held = space.pages.value("tailstream_export_held_bytes")
    assert held == sum(len(traces_data(a_trace(number))) for number in range(40))
    assert space.pages.text("/livez") == space.pages.text("/readyz") == "ok\n"

    busy.clear()
    space.wait(
        child,
        "all caught up",
        lambda: [space.pages.value(each) for each in lag] == [0] * PARTITIONS,
    )
    told = {
        'records_total{outcome="accepted"}': 40,
        'records_total{outcome="dead_lettered"}': 0,
        'spans_total{outcome="sent"}': 120,
        'lag_seconds{partition="0"}': 0,
        "held_bytes": 0,
    }
    assert {name: space.pages.value(f"tailstream_export_{name}") for name in told} == told
    assert space.pages.value('tailstream_export_requests_total{answer="try_again"}')
    assert "tailstream_spans_total" not in space.pages.text("/metrics")
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()


def test_an_export_whose_backend_is_down_hears_of_what_comes_while_it_does_not_read(
    space: Space,
) -> None:
    backend = space.backend(lambda request, _before: Reply(503 if request.resource_spans else 200))
    large = traces_data(a_trace(1, attributes={"text": "x" * 150_000}))
    space.send_values([large] * 100)  # 45 MB
    child = space.start(backend.endpoint, "export.requests_max=1")
    limit = 'tailstream_limit_reached_total{limit="export_held_bytes"}'
    space.wait(child, "it reads no more", lambda: space.pages.value(limit) == 1)

    space.send_values([large] * 20)

    lag = [f'tailstream_export_lag_records{{partition="{number}"}}' for number in range(PARTITIONS)]
    space.wait(
        child,
        "it hears of them",
        lambda: sum(space.pages.value(each) or 0 for each in lag) == 120,
    )


def test_a_port_that_is_taken_ends_it_with_the_remedy(space: Space) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        child = space.start("http://127.0.0.1:1", f"web.port={port}")

        assert child.wait(timeout_s=TIMEOUT_S) == 2, child.log_tail()

    (last,) = child.log_tail(1).splitlines()
    assert f"web.port: {port} on 127.0.0.1" in last
    assert "set web.port to a free one" in last


def test_markers_alone_are_passed_by_who_starts_before_them(space: Space) -> None:
    backend = space.backend(lambda _request, _before: Reply())
    space.send_in_transactions(40)
    ends = end_offsets(space.bootstrap, space.topics["output"])
    for partition, end in ends.items():
        space.commit(partition, end - 1)

    child = space.start(backend.endpoint)
    space.wait_until_committed(child)

    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()
    assert backend.spans_by_trace() == {}


def test_no_record_that_the_backend_has_not_taken_is_committed_whatever_follows_it(
    space: Space,
) -> None:
    taken = 5

    def half_away(_request: ExportTraceServiceRequest, before: int) -> Reply:
        return Reply(200 if before < taken else 503)

    backend = space.backend(half_away)
    space.send_in_transactions(80)
    child = space.start(backend.endpoint, "export.request_bytes_max=1KiB")
    space.wait(child, "the backend is away", lambda: backend.requests > taken + PARTITIONS)
    # Time enough to commit: what was taken is committed, be it with the markers before the next.
    group = space.group()
    space.wait(child, "what was taken is committed", lambda: bool(group.committed()))
    assert child.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, child.log_tail()

    accepted = backend.spans_by_trace()
    first_left: dict[int, int] = {}
    for stored in read_whole(space.bootstrap, space.topics["output"]):
        if trace_ids_of(ExportTraceServiceRequest.FromString(stored.value))[0] not in accepted:
            first_left.setdefault(stored.partition, stored.offset)
    committed = group.committed()
    assert first_left
    assert all(committed.get(number, 0) <= offset for number, offset in first_left.items())

    again = space.backend(lambda _request, _before: Reply())
    space.wait_until_committed(space.start(again.endpoint))
    together = accepted.keys() | again.spans_by_trace().keys()
    assert together == {trace_id_of(number) for number in range(80)}
