"""A real Collector reads what was kept: from Kafka, and from `tailstream export`."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import AdminClient
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.harness.client_quota import set_produce_quota
from tests.harness.load import Load
from tests.harness.oracle import Rules, decode, placed_spans
from tests.harness.reading import Stored, read_whole
from tests.harness.sender import Sender
from tests.harness.topics import Topics, end_offsets, ends_of, wait_for
from tests.harness.verify import nothing_missing_and_nothing_twice, read_back, whole_and_unchanged
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided
from tests.real.collector_load import SpanBytes, requests_of, send_all, spans_in
from tests.real.collector_process import (
    FROM_KAFKA,
    FROM_OTLP,
    TO_KAFKA,
    CollectorProcess,
    settings_of,
)
from tests.real.commands import Running, called
from tests.real.report import Report

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

SECTION: Final = "The Collector as consumer"
RULES: Final = Rules(decision_wait_ms=2000, slow_ms=1000, percentage=30)
ARRIVES_IN_S: Final = 180.0
LOOK_EVERY_S: Final = 0.5
SLOW_BYTES_A_SECOND: Final = 30_000
KILLS_MAX: Final = 10
FROM_HEADER: Final = "kafka.header."
SENT_HEADERS: Final = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tenant": "blue",
}

SpawnCollector = Callable[..., CollectorProcess]


@pytest.fixture
def running(collector: Path, topics: Topics, tmp_path: Path) -> Iterator[SpawnCollector]:
    """Give a function that starts a Collector with one of the configurations."""
    with ExitStack() as all_of_them:

        def start(config: Path, **more: str) -> CollectorProcess:
            settings = settings_of(topics, topics.input if config is TO_KAFKA else topics.output)
            home = tmp_path / config.stem
            # Seen once: one partition of a topic made a moment before was not read for minutes.
            end_offsets(topics.bootstrap, settings["TOPIC"])
            process = CollectorProcess(collector, config, home, {**settings, **more})
            all_of_them.callback(process.close)
            process.start()
            return process

        yield start


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[WorkerProcess]:
    """Give a worker that takes along what the Collector sent as headers."""
    more: Mapping[str, Mapping[str, object]] = {"output": {"copy_headers": [*SENT_HEADERS]}}
    name = f"{topics.group}-0"  # a quota is the client's, whoever else runs tests here
    process = WorkerProcess(topics, RULES, tmp_path, slot="worker", instance_id=name, more=more)
    process.start()
    yield process
    process.close()


@pytest.fixture
def exporting(topics: Topics, tmp_path: Path) -> Iterator[Callable[[CollectorProcess], Running]]:
    """Give a function that starts `tailstream export` to a Collector."""
    with ExitStack() as all_of_them:

        def start(collector: CollectorProcess) -> Running:
            process = Running(topics, "export", tmp_path, {"export.endpoint": collector.endpoint})
            all_of_them.callback(process.close)
            return process

        yield start


def test_through_two_collectors_every_kept_span_arrives_once_with_its_stamps_and_its_headers(
    topics: Topics, worker: WorkerProcess, running: SpawnCollector, report: Report
) -> None:
    consumer = running(FROM_KAFKA)
    producer = running(TO_KAFKA)
    worker.wait_until_ready()
    load = Load(spans=6_000, duration_s=2, late_after_s=2.4, spans_a_trace=3, seed=9)
    send_all(producer, requests_of(load), SENT_HEADERS)
    producer.stop()
    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    output = kept_as_the_oracle_says(topics)
    kept = spans_in(decode(record.value) for record in output)
    wait_until_arrived(consumer, kept)
    consumer.stop()

    got = consumer.written()
    assert headers_of(got) == headers_in(output)
    assert spans_in(without_headers(got)) == kept
    assert {record.headers["traceparent"].decode() for record in output} == {
        SENT_HEADERS["traceparent"]
    }
    report.found(
        SECTION,
        "Collector -> Kafka -> worker -> Kafka -> Collector",
        f"{kept.total():,} kept spans arrived, each once, equal in every field of OTLP; stamps, "
        f"`ot=th`, traceparent and the `tailstream.` headers of {len(output):,} records survive",
    )


def test_after_a_kill_9_in_mid_transaction_the_receiver_gets_aborted_spans_that_its_header_tells(
    topics: Topics, worker: WorkerProcess, running: SpawnCollector, report: Report
) -> None:
    consumer = running(FROM_KAFKA)
    worker.wait_until_ready()
    sender = sender_of(topics, spans=12_000, duration_s=12)
    sender.start()
    kill_in_a_transaction(topics, worker)
    sender.finish()
    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    output = kept_as_the_oracle_says(topics)
    everything = read_whole(topics.bootstrap, topics.output, isolation="read_uncommitted")
    in_the_log = spans_in(decode(record.value) for record in everything)
    wait_until_arrived(consumer, in_the_log)
    consumer.stop()

    got = consumer.written()
    kept = spans_in(decode(record.value) for record in output)
    aborted = len(everything) - len(output)
    assert aborted > 0, "nothing was aborted: the test shows nothing"
    assert spans_in(without_headers(got)) == in_the_log
    assert spans_in(once_a_delivery(got)) == kept
    report.found(
        SECTION,
        "kafkareceiver, a worker killed with kill -9 in mid-transaction",
        f"it has no read_committed: {aborted} aborted records of {len(everything):,} arrive, too; "
        f"once a `tailstream.delivery`, the {kept.total():,} spans are those kept, each once",
    )


@pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
def test_a_collector_that_reads_the_input_beside_us_takes_no_harm_from_pins(
    topics: Topics, running: SpawnCollector, report: Report, encoding: str
) -> None:
    beside = running(FROM_KAFKA, TOPIC=topics.input, ENCODING=encoding)
    producer = running(TO_KAFKA, ENCODING=encoding)
    load = Load(spans=1_000, duration_s=0, late_after_s=0, spans_a_trace=3, seed=5)
    sent = requests_of(load)
    producer.send(sent[0].message.SerializeToString())
    trace_ids = {placed.span.trace_id.hex() for placed in placed_spans(sent[0].message)}
    json_input = str(encoding == "otlp_json").lower()
    pin = ("pin", "--all-partitions", *sorted(trace_ids)[:20])
    code, said = called(topics, *pin, more={"exemplars.json_input": json_input})
    assert code == 0, said
    for request in sent[1:]:
        producer.send(request.message.SerializeToString())
    producer.stop()
    everything = spans_in(request.message for request in sent)
    wait_until_arrived(beside, everything)
    beside.stop()

    assert spans_in(without_headers(beside.written())) == everything
    assert beside.complaints() == []
    told = f"{everything.total():,} spans arrived, 160 pins among them did no harm"
    report.found(SECTION, f"kafkareceiver on our input, {encoding}", told)


def test_a_receiver_that_marks_after_the_pipeline_loses_nothing_when_it_is_killed(
    topics: Topics, worker: WorkerProcess, running: SpawnCollector, report: Report
) -> None:
    consumer = running(FROM_KAFKA)
    sender = sender_of(topics, spans=8_000, duration_s=8)
    sender.start()
    wait_for("something there", lambda: bool(consumer.written()), timeout_s=ARRIVES_IN_S)
    consumer.kill()
    first = spans_in(without_headers(consumer.written()))
    consumer.start()
    sender.finish()
    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    kept = spans_in(decode(record.value) for record in kept_as_the_oracle_says(topics))
    wait_until_arrived(consumer, kept)
    consumer.stop()

    got = spans_in(without_headers(consumer.written()))
    assert 0 < first.total() < kept.total()
    assert got.keys() == kept.keys()
    report.found(
        SECTION,
        "kafkareceiver, `message_marking: {after: true}`, killed with kill -9",
        f"{kept.total():,} spans kept, none missing, {got.total() - kept.total()} twice",
    )


def test_export_brings_a_collector_every_kept_span_once(
    topics: Topics,
    worker: WorkerProcess,
    running: SpawnCollector,
    exporting: Callable[[CollectorProcess], Running],
    report: Report,
) -> None:
    consumer = running(FROM_OTLP)
    export = exporting(consumer)
    worker.wait_until_ready()
    sender = sender_of(topics, spans=12_000, duration_s=12)
    sender.start()
    kill_in_a_transaction(topics, worker)
    sender.finish()
    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    output = kept_as_the_oracle_says(topics)
    kept = spans_in(decode(record.value) for record in output)
    wait_until_arrived(consumer, kept)
    export.terminate()
    consumer.stop()

    everything = read_whole(topics.bootstrap, topics.output, isolation="read_uncommitted")
    assert len(everything) > len(output), "nothing was aborted: the test shows nothing"
    assert spans_in(consumer.written()) == kept
    report.found(
        SECTION,
        "export to the otlpreceiver, a worker killed with kill -9 in mid-transaction",
        f"{kept.total():,} spans, each once, equal in every field of OTLP; of "
        f"{len(everything) - len(output)} aborted records none",
    )


def test_export_loses_nothing_when_the_collector_is_killed_and_comes_back(
    topics: Topics,
    worker: WorkerProcess,
    running: SpawnCollector,
    exporting: Callable[[CollectorProcess], Running],
    report: Report,
) -> None:
    consumer = running(FROM_OTLP)
    export = exporting(consumer)
    sender = sender_of(topics, spans=8_000, duration_s=8)
    sender.hold_at(0.8)
    sender.start()
    wait_for("something there", lambda: bool(consumer.written()), timeout_s=ARRIVES_IN_S)
    consumer.kill()
    first = spans_in(consumer.written())
    sender.release()
    sender.finish()
    wait_for("a retry", lambda: "will be sent again" in export.log_tail(), timeout_s=ARRIVES_IN_S)
    consumer.start()
    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    kept = spans_in(decode(record.value) for record in kept_as_the_oracle_says(topics))
    wait_until_arrived(consumer, kept)
    export.terminate()
    consumer.stop()

    got = spans_in(consumer.written())
    assert 0 < first.total() < kept.total()
    assert got.keys() == kept.keys()
    assert "refused_by_backend" not in reasons(topics)
    report.found(
        SECTION,
        "export to the otlpreceiver, the Collector killed with kill -9",
        f"{kept.total():,} spans kept, none missing, {got.total() - kept.total()} twice",
    )


def sender_of(topics: Topics, *, spans: int, duration_s: float) -> Sender:
    load = Load(spans=spans, duration_s=duration_s, late_after_s=2.4, spans_a_trace=4, seed=11)
    return Sender(topics.bootstrap, topics.input, load.records())


def kill_in_a_transaction(topics: Topics, worker: WorkerProcess) -> None:
    """Kill it while a transaction with output is open, and start it again.

    The broker slows it down, so that a transaction lasts; a kill that came too late is made again.
    """
    admin = AdminClient({"bootstrap.servers": topics.bootstrap, "log_level": 4})

    def is_open() -> bool:
        stable = ends_of(admin, topics.output, stable=True)
        return sum(stable.values()) < sum(ends_of(admin, topics.output).values())

    client_id = f"tailstream-{worker.instance_id}"
    set_produce_quota(topics.bootstrap, client_id, SLOW_BYTES_A_SECOND)
    try:
        for _ in range(KILLS_MAX):
            wait_for("an open transaction", is_open, timeout_s=60)
            worker.kill()
            if is_open():
                break
            worker.start()
        else:
            pytest.fail(f"{KILLS_MAX} kills, and each came after the commit")
    finally:
        set_produce_quota(topics.bootstrap, client_id, None)
    worker.start()


def kept_as_the_oracle_says(topics: Topics) -> list[Stored]:
    """Hold the output against what the oracle makes of the input; return it."""
    written = read_back(topics)
    expectation = written.expectation(RULES)
    nothing_missing_and_nothing_twice(written, expectation)
    whole_and_unchanged(written, expectation, RULES)
    assert len(expectation.kept) > 100
    return written.output


def reasons(topics: Topics) -> set[str]:
    """Return why there are dead letters: the load has garbage in it."""
    letters = read_whole(topics.bootstrap, topics.dead_letters)
    return {letter.headers["tailstream.reason"].decode() for letter in letters}


def wait_until_arrived(consumer: CollectorProcess, spans: Counter[SpanBytes]) -> None:
    """Return when all of them stand in its file: it tells nobody that it is through."""
    until_s = time.monotonic() + ARRIVES_IN_S
    while spans - (got := spans_in(without_headers(consumer.written()))):
        consumer.assert_runs()
        if time.monotonic() > until_s:
            raise TimeoutError(f"{(spans - got).total()} missing:\n{consumer.log_tail()}")
        time.sleep(LOOK_EVERY_S)


def headers_in(records: Iterable[Stored]) -> Counter[frozenset[tuple[str, str]]]:
    """Return the headers of each record."""
    return Counter(
        frozenset((name, content.decode()) for name, content in record.headers.items())
        for record in records
    )


def headers_of(messages: Iterable[TracesData]) -> Counter[frozenset[tuple[str, str]]]:
    """Return what the receiver made resource attributes of, of each record."""
    return Counter(_headers(message) for message in messages)


def _headers(message: TracesData) -> frozenset[tuple[str, str]]:
    found = {
        frozenset(
            (one.key.removeprefix(FROM_HEADER), one.value.string_value)
            for one in resource.resource.attributes
            if one.key.startswith(FROM_HEADER)
        )
        for resource in message.resource_spans
    }
    (one,) = found
    return one


def once_a_delivery(messages: Iterable[TracesData]) -> list[TracesData]:
    """Return one message of each `tailstream.delivery`; all that have it say the same."""
    by_delivery: defaultdict[str, list[TracesData]] = defaultdict(list)
    for message in messages:
        delivery = dict(_headers(message))["tailstream.delivery"]
        by_delivery[delivery] += without_headers([message])  # they come in any order
    for delivery, same in by_delivery.items():
        assert all(one == same[0] for one in same), f"{delivery} comes twice and differs"
    return [same[0] for same in by_delivery.values()]


def without_headers(messages: Iterable[TracesData]) -> list[TracesData]:
    """Return them without the attributes that the receiver adds."""
    bare: list[TracesData] = []
    for message in messages:
        own = TracesData()
        own.CopyFrom(message)
        for resource in own.resource_spans:
            kept = [a for a in resource.resource.attributes if not a.key.startswith(FROM_HEADER)]
            del resource.resource.attributes[:]
            resource.resource.attributes.extend(kept)
        bare.append(own)
    return bare
