import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, Message, TopicPartition

from stream.cli.generate import command as generate
from stream.demo.generator import Load
from stream.kafka.embedded import PARTITION_BYTES_MAX, PARTITIONS, EmbeddedBroker
from stream.kafka.load_producer import DEFAULTS, LoadProducer
from stream.kafka.partitioner import PARTITIONERS
from stream.kafka.topics import ClusterError

KEYS = [b"%032x" % number for number in range(1, 60)]


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


def ends(broker: EmbeddedBroker, topic: str) -> list[tuple[int, int]]:
    """Return the first and the next offset of each partition."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "t", "log_level": 0})
    try:
        return [
            consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
            for number in range(PARTITIONS)
        ]
    finally:
        consumer.close()


def read(broker: EmbeddedBroker, topic: str) -> list[Message]:
    """Return every record that the topic holds now."""
    held = ends(broker, topic)
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "t", "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, n, first) for n, (first, _) in enumerate(held)])
        records: list[Message] = []
        while len(records) < sum(end - first for first, end in held):
            records += consumer.consume(1000, 0.2)
        return records
    finally:
        consumer.close()


def sender(broker: EmbeddedBroker, topic: str, **chosen: str) -> LoadProducer:
    broker.create_topic(topic)
    return LoadProducer({"bootstrap.servers": broker.address}, topic, **chosen)


def test_what_is_sent_to_the_embedded_broker_is_read_back(broker: EmbeddedBroker) -> None:
    with sender(broker, "round-trip") as producer:
        for key in KEYS:
            producer.send(key, b"value of " + key)
        assert producer.flush(10) == 0
        assert producer.delivered == len(KEYS)
    records = read(broker, "round-trip")
    assert {record.key(): record.value() for record in records} == {
        key: b"value of " + key for key in KEYS
    }
    assert {record.timestamp()[0] for record in records} == {TIMESTAMP_CREATE_TIME}


def test_a_topic_of_the_embedded_broker_has_four_partitions(broker: EmbeddedBroker) -> None:
    assert broker.create_topic("four") == PARTITIONS
    assert broker.create_topic("four") == PARTITIONS


def test_the_demos_load_fits_into_the_embedded_broker_twice(broker: EmbeddedBroker) -> None:
    with sender(broker, "load") as producer:
        for seed in (1, 2):
            for record in Load(seed=seed).records():
                producer.send(record.key, record.value)
        assert producer.flush(30) == 0
        sent = producer.delivered
    held = ends(broker, "load")
    assert [first for first, _ in held] == [0] * PARTITIONS
    assert sum(end for _, end in held) == sent


def test_a_full_partition_of_the_embedded_broker_drops_its_oldest(broker: EmbeddedBroker) -> None:
    broker.create_topic("full")
    plain = {"bootstrap.servers": broker.address, "compression.type": "none"}
    with LoadProducer(plain, "full") as producer:
        for _ in range(2 * PARTITION_BYTES_MAX // 100_000):
            producer.send(KEYS[0], bytes(100_000))
        assert producer.flush(30) == 0
    first, end = max(ends(broker, "full"), key=lambda each: each[1])
    assert first > 0
    assert (end - first) * 100_000 <= PARTITION_BYTES_MAX


@pytest.mark.parametrize("name", sorted(PARTITIONERS))
def test_records_go_where_our_partitioner_says(broker: EmbeddedBroker, name: str) -> None:
    with sender(broker, f"by-{name}", partitioner=name) as producer:
        for key in KEYS:
            producer.send(key, b"x")
        producer.flush(10)
    went = {record.key(): record.partition() for record in read(broker, f"by-{name}")}
    assert went == {key: PARTITIONERS[name](key, PARTITIONS) for key in KEYS}


def test_two_embedded_brokers_know_nothing_of_each_other(broker: EmbeddedBroker) -> None:
    broker.create_topic("mine")
    with EmbeddedBroker() as other:
        assert other.address != broker.address
        with pytest.raises(ClusterError, match=r"topics\.input: mine: .*tailstream topics"):
            LoadProducer({"bootstrap.servers": other.address}, "mine").check()


def test_a_broker_that_is_gone_is_named_with_its_setting() -> None:
    with EmbeddedBroker() as gone:
        address = gone.address
    producer = LoadProducer({"bootstrap.servers": address}, "any")
    with pytest.raises(ClusterError, match=rf"kafka\.bootstrap\.servers: {address}: no broker"):
        producer.check(timeout_s=0.5)


@pytest.mark.parametrize(
    ("settings", "partitioner", "told"),
    [
        ({"linger.mss": 1}, "fnv1a", r"kafka: .*linger\.mss"),
        ({}, "crc32", r"topics\.partitioner: 'crc32': use one of fnv1a, murmur2"),
    ],
)
def test_a_producer_that_cannot_be_made_says_why(
    settings: dict[str, int], partitioner: str, told: str
) -> None:
    with pytest.raises(ClusterError, match=told):
        LoadProducer(settings, "any", partitioner=partitioner)


def test_a_record_that_is_refused_is_counted_by_name(broker: EmbeddedBroker) -> None:
    with sender(broker, "large") as producer:
        producer.send(KEYS[0], bytes(2_000_000))
        producer.send(KEYS[0], b"small")
        producer.flush(10)
        assert producer.failures == {"MSG_SIZE_TOO_LARGE": 1}
        assert producer.delivered == 1


def test_records_that_no_broker_takes_in_time_are_counted_by_name() -> None:
    nowhere = {"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 50, "linger.ms": 0}
    with LoadProducer(nowhere, "any") as producer:
        producer.send(KEYS[0], b"x")
        producer.flush(10)
        assert producer.failures == {"_MSG_TIMED_OUT": 1}
        assert producer.delivered == 0


def test_unless_asked_otherwise_records_are_sent_once_each_and_compressed() -> None:
    assert DEFAULTS["enable.idempotence"] is True
    assert DEFAULTS["compression.type"] == "lz4"


def test_generate_sends_the_load_and_says_what_it_sent(broker: EmbeddedBroker) -> None:
    broker.create_topic("generated")
    told = CliRunner().invoke(
        generate,
        f"--bootstrap {broker.address} --topic generated --rate 0 --traces 50 --seed 4".split(),
    )
    assert told.exit_code == 0, told.output
    values = [record.value() for record in read(broker, "generated")]
    assert "50 of 50 traces" in told.output
    assert f"{len(values)} records delivered, 0 failed" in told.output
    assert "seed 4" in told.output


def test_generate_to_a_topic_that_is_missing_sends_nothing(broker: EmbeddedBroker) -> None:
    told = CliRunner().invoke(generate, ["--bootstrap", broker.address, "--topic", "missing"])
    assert told.exit_code == 2
    assert "topics.input: missing: the cluster has no such topic" in told.output


def test_generate_refuses_a_load_that_cannot_be() -> None:
    told = CliRunner().invoke(generate, ["--traces", "2", "--malformed", "3"])
    assert told.exit_code == 2
    assert "malformed: 3" in told.output


def test_generate_makes_new_traces_each_time_but_for_a_seed(broker: EmbeddedBroker) -> None:
    broker.create_topic("again")
    common = f"--bootstrap {broker.address} --topic again --rate 0 --traces 5 --malformed 0"
    for _ in range(2):
        assert CliRunner().invoke(generate, common.split()).exit_code == 0
    assert len({record.key() for record in read(broker, "again")}) == 10
    for _ in range(2):
        assert CliRunner().invoke(generate, [*common.split(), "--seed", "9"]).exit_code == 0
    assert len({record.key() for record in read(broker, "again")}) == 15


def test_generate_claims_no_late_span_that_it_did_not_wait_with(broker: EmbeddedBroker) -> None:
    broker.create_topic("unpaced")
    common = f"--bootstrap {broker.address} --topic unpaced --traces 1 --malformed 0 --resent 0"
    for pace in ("--rate 0", "--rate 100 --late-after 0"):
        told = CliRunner().invoke(generate, [*common.split(), *pace.split(), "--late", "1"])
        assert "1 of 1 trace, " in told.output
        assert "up to 1 late span (sent without waiting" in told.output
    none = CliRunner().invoke(generate, [*common.split(), "--rate", "0", "--late", "0"])
    assert "0 late spans" in none.output
    assert "up to" not in none.output


def test_generate_says_that_it_waits_for_late_spans_and_leaves_the_wait_out_of_the_rate(
    broker: EmbeddedBroker,
) -> None:
    broker.create_topic("waiting")
    told = CliRunner().invoke(
        generate,
        f"--bootstrap {broker.address} --topic waiting --traces 40 --rate 200 --late 1 --seed 4 "
        "--late-after 2 --set tail_sampling.decision_wait=1s".split(),
    )
    waits, sent, rate, *rest = told.output.splitlines()
    assert waits == "All traces are sent. Up to 2 s more for late spans; Ctrl-C ends it."
    assert sent.startswith("40 of 40 traces, ")
    match = re.fullmatch(r"[\d,]+ spans/s for (\d\.\d) s, then ([12]\.\d) s for late spans", rate)
    assert match
    assert float(match[1]) < 1
    assert re.search(r"\d+ slow, \d+ late spans, ", rest[0])
