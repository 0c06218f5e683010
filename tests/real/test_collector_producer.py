"""A real Collector fills the input topic: every encoding, compression and partitioner it has."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import AdminClient

from tests.harness.load import Load, partition_of
from tests.harness.otlp_metrics import one_point
from tests.harness.reading import read_whole
from tests.harness.topics import (
    REQUEST_TIMEOUT_S,
    Topics,
    create_topics,
    wait_for,
)
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided
from tests.real.collector_checks import (
    RULES,
    all_is_as_sent,
    came_out_whole,
    dropped_so_far,
    every_record_holds_a_part_of_the_trace_that_is_its_key,
    is_recognised,
    partitions_by_key,
    summed_up,
)
from tests.real.collector_load import Request, requests_of, send_all, spans_in
from tests.real.collector_process import TO_KAFKA, CollectorProcess, settings_of
from tests.real.commands import Running, called
from tests.real.report import Report

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

SECTION: Final = "The Collector as producer"
LOAD: Final = Load(spans=6_000, duration_s=2, late_after_s=2.4, spans_a_trace=3, seed=7)
DEFAULT: Final = "{}"
FNV1A: Final = "{sticky_key: {hasher: sarama_compat}}"
MURMUR2: Final = "{sticky_key: {hasher: murmur2}}"
METRICS: Final = 40
NAMES: Final = {DEFAULT: "fnv1a", FNV1A: "fnv1a", MURMUR2: "murmur2"}
"""How the exporter is told to place keys -> our name for it."""
BY_CHANCE: Final = {
    "no key": (DEFAULT, "false"),
    "round_robin": ("{round_robin: {}}", "true"),
    "least_backup": ("{least_backup: {}}", "true"),
}
"""`record_partitioner` and `partition_traces_by_id` with which a trace lies in many partitions."""

SpawnCollector = Callable[..., CollectorProcess]
SpawnWorker = Callable[..., WorkerProcess]


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """Give what applications send, the same for every test."""
    return requests_of(LOAD)


@pytest.fixture
def unkeyed(topics: Topics) -> Iterator[str]:
    """Give a topic for an exporter that does not key by trace id."""
    name = f"{topics.prefix}_unkeyed"
    create_topics(topics.bootstrap, [name])
    yield name
    admin = AdminClient({"bootstrap.servers": topics.bootstrap, "log_level": 4})
    admin.delete_topics([name])[name].result(REQUEST_TIMEOUT_S)


@pytest.fixture
def exporting(collector: Path, topics: Topics, tmp_path: Path) -> Iterator[SpawnCollector]:
    """Give a function that starts a Collector which exports to Kafka."""
    with ExitStack() as running:

        def export(partitioner: str, topic: str | None = None, **more: str) -> CollectorProcess:
            settings = settings_of(topics, topic or topics.input)
            settings |= {"PARTITIONER": partitioner, **more}
            process = CollectorProcess(collector, TO_KAFKA, tmp_path / "to", settings)
            running.callback(process.close)
            process.start()
            return process

        yield export


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[SpawnWorker]:
    """Give a function that starts a worker for a topic keyed by this partitioner."""
    with ExitStack() as running:

        def spawn(partitioner: str = "fnv1a") -> WorkerProcess:
            more: Mapping[str, Mapping[str, object]] = {"topics": {"partitioner": partitioner}}
            process = WorkerProcess(topics, RULES, tmp_path, slot="worker", more=more)
            running.callback(process.close)
            process.start()
            return process

        yield spawn


@pytest.mark.parametrize("partitioner", [FNV1A, MURMUR2], ids=["fnv1a", "murmur2"])
@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
def test_traces_keyed_by_a_collector_get_the_oracles_verdicts_and_every_span_is_accounted_for(
    topics: Topics,
    exporting: SpawnCollector,
    worker: SpawnWorker,
    requests: Sequence[Request],
    report: Report,
    encoding: str,
    compression: str,
    partitioner: str,
) -> None:
    name = NAMES[partitioner]
    process = worker(name)
    exporter = exporting(partitioner, ENCODING=encoding, COMPRESSION=compression)
    process.wait_until_ready()
    send_all(exporter, requests)
    exporter.stop()
    wait_until_all_is_decided(topics, [process])
    accounts, odd = process.accounts(), process.records()
    process.terminate()

    expectation = all_is_as_sent(topics, requests, accounts)
    assert odd.get("misrouted", 0) == odd.get("key_mismatch", 0) == 0
    records = read_whole(topics.bootstrap, topics.input)
    every_record_holds_a_part_of_the_trace_that_is_its_key(records)
    assert {record.value[:1] == b"{" for record in records} == {encoding == "otlp_json"}
    is_recognised(topics, name)
    report.found(SECTION, f"{encoding}, {compression}, {name}", summed_up(records, expectation))


def test_without_a_partitioner_named_the_exporter_places_as_ours_do_by_default(
    topics: Topics, exporting: SpawnCollector, requests: Sequence[Request], report: Report
) -> None:
    exporter = exporting(DEFAULT)
    for request in requests[:10]:
        exporter.send(request.message.SerializeToString())
    exporter.stop()

    every_record_holds_a_part_of_the_trace_that_is_its_key(
        read_whole(topics.bootstrap, topics.input)
    )
    is_recognised(topics, "fnv1a")
    told = "key: 32 lowercase hex digits; placed by fnv1a, the default of `topics.partitioner`"
    report.found(SECTION, "`partition_traces_by_id`, no `record_partitioner`", told)


@pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
@pytest.mark.parametrize("partitioner", [DEFAULT, MURMUR2], ids=["default", "murmur2"])
def test_a_pin_lands_where_the_collector_put_its_trace_and_brings_a_dropped_one_back_whole(
    topics: Topics,
    exporting: SpawnCollector,
    worker: SpawnWorker,
    requests: Sequence[Request],
    report: Report,
    partitioner: str,
    encoding: str,
) -> None:
    name = NAMES[partitioner]
    process = worker(name)
    exporter = exporting(partitioner, ENCODING=encoding)
    process.wait_until_ready()
    send_all(exporter, requests[:10])
    exporter.stop()
    wait_until_all_is_decided(topics, [process])
    dropped = dropped_so_far(topics)[:20]
    assert len(dropped) == 20

    json_input = str(encoding == "otlp_json").lower()
    more = {"topics.partitioner": name, "exemplars.json_input": json_input}
    code, said = called(topics, "pin", *dropped, more=more)
    assert code == 0, said
    wait_until_all_is_decided(topics, [process])
    process.terminate()

    home = partitions_by_key(topics)
    assert all(len(home[trace_id]) == 1 for trace_id in dropped), "a pin lies elsewhere"
    came = came_out_whole(topics, dropped)
    assert came == Counter(promoted=20)
    told = f"{len(dropped)} traces pinned after the drop: each pin beside its trace, all came whole"
    report.found(SECTION, f"pins, {encoding}, {name}", told)


def test_where_the_partitioner_is_set_wrong_we_say_so_and_a_pin_to_all_partitions_still_arrives(
    topics: Topics,
    exporting: SpawnCollector,
    worker: SpawnWorker,
    requests: Sequence[Request],
    report: Report,
) -> None:
    process = worker("fnv1a")
    exporter = exporting(MURMUR2)
    process.wait_until_ready()
    send_all(exporter, requests[:10])
    exporter.stop()
    wait_until_all_is_decided(topics, [process])
    misrouted = process.records()["misrouted"]
    home = partitions_by_key(topics)
    astray = [t for t in dropped_so_far(topics) if home[t] != {partition_of(t.encode())}]
    alone, everywhere = astray[:10], astray[10:20]
    assert len(everywhere) == 10

    assert called(topics, "pin", *alone)[0] == 0
    assert called(topics, "pin", "--all-partitions", *everywhere)[0] == 0
    wait_until_all_is_decided(topics, [process])
    process.terminate()

    assert misrouted > 0
    code, said = called(topics, "topics")
    assert code == 0
    assert "topics.partitioner is fnv1a: set topics.partitioner: murmur2" in said
    assert came_out_whole(topics, everywhere) == Counter(promoted=10)
    kept = {record.key.decode() for record in read_whole(topics.bootstrap, topics.output)}
    assert not kept & {*alone}, "a pin in another partition does not reach its trace"
    report.found(
        SECTION,
        "murmur2 keys, `topics.partitioner: fnv1a`",
        "`tailstream topics` names the right value; pins need --all-partitions meanwhile",
    )


@pytest.mark.parametrize("placing", ["no key", "round_robin", "least_backup"])
def test_rekey_brings_what_lies_by_chance_to_its_traces_and_verdicts_are_the_oracles(
    topics: Topics,
    unkeyed: str,
    exporting: SpawnCollector,
    worker: SpawnWorker,
    requests: Sequence[Request],
    report: Report,
    tmp_path: Path,
    placing: str,
) -> None:
    partitioner, keyed = BY_CHANCE[placing]
    exporter = exporting(partitioner, unkeyed, KEYED=keyed)
    process = worker()
    process.wait_until_ready()
    rekey = Running(topics, "rekey", tmp_path, {"topics.unkeyed": unkeyed})
    try:
        send_all(exporter, requests)
        exporter.stop()
        rekey.wait_until_through(unkeyed)
        rekey.terminate()
    finally:
        rekey.close()
    wait_until_all_is_decided(topics, [process])
    accounts, odd = process.accounts(), process.records()
    process.terminate()

    code, said = called(topics, "topics", more={"topics.input": unkeyed})
    assert code == 2, said
    assert "partition_traces_by_id: true" in said
    expectation = all_is_as_sent(topics, requests, accounts)
    assert odd.get("misrouted", 0) == odd.get("key_mismatch", 0) == 0
    records = read_whole(topics.bootstrap, topics.input)
    every_record_holds_a_part_of_the_trace_that_is_its_key(records)
    is_recognised(topics, "fnv1a")
    report.found(SECTION, f"{placing}, then rekey", summed_up(records, expectation))


def test_a_worker_on_an_unkeyed_topic_says_so_and_names_rekey(
    topics: Topics,
    exporting: SpawnCollector,
    worker: SpawnWorker,
    requests: Sequence[Request],
    report: Report,
) -> None:
    process = worker()
    process.wait_until_ready()
    exporter = exporting(DEFAULT, KEYED="false")
    send_all(exporter, requests)
    exporter.stop()
    wait_until_all_is_decided(topics, [process])
    accounts, odd = process.accounts(), process.records()
    wait_for("its advice", lambda: "tailstream rekey" in process.log_tail(200), timeout_s=180)
    process.terminate()

    records = read_whole(topics.bootstrap, topics.input)
    assert {record.key for record in records} == {b""}, "a record has a key"
    assert odd["key_mismatch"] == len(records)
    assert accounts["received"] == spans_in(r.message for r in requests).total()
    assert accounts["received"] == sum(accounts.values()) - accounts["received"]
    assert "100% of the input's records are not where their trace id belongs" in (
        process.log_tail(200)
    )
    report.found(
        SECTION,
        "no key, read without rekey",
        f"all {len(records)} records count as key_mismatch, the worker's log and `tailstream "
        "topics` name the remedy",
    )


def test_on_a_topic_that_signals_share_only_traces_are_read_and_the_others_counted(
    topics: Topics,
    exporting: SpawnCollector,
    worker: SpawnWorker,
    requests: Sequence[Request],
    report: Report,
) -> None:
    process = worker()
    exporter = exporting(DEFAULT, SIGNAL_HEADER="true")
    process.wait_until_ready()
    send_all(exporter, requests[:10])
    for number in range(METRICS):
        exporter.send(one_point(number.to_bytes(16, "big")), signal="metrics")
    send_all(exporter, requests[10:])
    exporter.stop()
    wait_until_all_is_decided(topics, [process])
    accounts, odd = process.accounts(), process.records()
    process.terminate()

    by_signal = Counter(
        record.headers["otelcol.signal"] for record in read_whole(topics.bootstrap, topics.input)
    )
    assert by_signal[b"metrics"] == METRICS == odd["skipped"]
    assert odd["key_mismatch"] == odd["misrouted"] == odd["no_spans"] == 0
    all_is_as_sent(topics, requests, accounts)
    is_recognised(topics, "fnv1a")
    told = f"{odd['skipped']} records of metrics skipped beside {by_signal[b'traces']:,} of traces"
    report.found(SECTION, "`signal_header: true`, one topic for all signals", told)


@pytest.mark.parametrize("encoding", ["jaeger_proto", "jaeger_json", "zipkin_proto", "zipkin_json"])
def test_an_encoding_that_is_not_otlp_is_refused_by_topics_and_no_record_of_it_goes_uncounted(
    topics: Topics,
    exporting: SpawnCollector,
    worker: SpawnWorker,
    requests: Sequence[Request],
    report: Report,
    encoding: str,
) -> None:
    exporter = exporting(DEFAULT, ENCODING=encoding)
    process = worker()
    for request in requests[:10]:
        exporter.send(request.message.SerializeToString())
    exporter.stop()
    wait_until_all_is_decided(topics, [process])
    accounts, odd = process.accounts(), process.records()
    process.terminate()

    records = read_whole(topics.bootstrap, topics.input)
    reasons = Counter(
        letter.headers["tailstream.reason"].decode()
        for letter in read_whole(topics.bootstrap, topics.dead_letters)
    )
    assert reasons.total() == accounts["received"] == accounts["dead_lettered"]
    assert reasons.total() + odd["no_spans"] == len(records) > 0
    code, said = called(topics, "topics")
    assert code == 2, said
    assert "Set `encoding: otlp_proto` (or otlp_json) in the exporter" in said
    told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    report.found(
        SECTION,
        encoding,
        f"refused by `tailstream topics`; of {len(records):,} records dead letters: "
        f"{told or 'none'}, without a span of OTLP (`no_spans`): {odd['no_spans']:,}",
    )
