"""`tailstream topics` against a real Kafka."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from stream.cli import main
from stream.kafka.sample import read_recent
from stream.kafka.topics import Cluster, TopicFacts, TopicPlan
from stream.testing.spans import a_trace, trace_id_of, traces_data

pytestmark = pytest.mark.integration

TIMEOUT_S = 30.0
TRACES = 200


@dataclass(frozen=True)
class Space:
    """Four topic names that nobody else uses, and the command run on them."""

    bootstrap: str
    prefix: str
    admin: AdminClient

    @property
    def input(self) -> str:
        return f"{self.prefix}_input"

    @property
    def names(self) -> list[str]:
        roles = ("input", "output", "decisions", "dead_letters")
        return [f"{self.prefix}_{role}" for role in roles]

    @property
    def beside(self) -> dict[str, str]:
        """What the commands beside the workers read, by setting."""
        return {f"topics.{role}": f"{self.prefix}_{role}" for role in ("metrics", "unkeyed")}

    def run(self, *arguments: str) -> Result:
        settings = [f"kafka.bootstrap.servers={self.bootstrap}"]
        settings += [f"topics.{name.removeprefix(self.prefix)[1:]}={name}" for name in self.names]
        options = [word for setting in settings for word in ("--set", setting)]
        return CliRunner().invoke(main, ["topics", *options, *arguments])

    def facts(self) -> dict[str, TopicFacts]:
        return self.cluster().describe([*self.names, *self.beside.values()])

    def cluster(self) -> Cluster:
        return Cluster({"bootstrap.servers": self.bootstrap})

    def config(self, name: str) -> dict[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, name)
        (answer,) = self.admin.describe_configs([resource]).values()
        return {key: entry.value for key, entry in answer.result(TIMEOUT_S).items()}

    def create_input(self, partitions: int, **config: str) -> None:
        self.cluster().create([TopicPlan(self.input, partitions, 1, config)])

    def fill_input(self, partitioner: str, *, keyed: bool = True) -> None:
        """Two records of each trace."""
        producer = Producer(
            {"bootstrap.servers": self.bootstrap, "partitioner": partitioner, "linger.ms": 5}
        )
        for number in [*range(TRACES), *range(TRACES)]:
            key = trace_id_of(number).hex() if keyed else None
            producer.produce(self.input, traces_data(a_trace(number)), key)
        assert producer.flush(TIMEOUT_S) == 0


@pytest.fixture
def space(kafka: str) -> Iterator[Space]:
    prefix = f"topics_{uuid.uuid4().hex[:12]}"
    space = Space(kafka, prefix, AdminClient({"bootstrap.servers": kafka}))
    yield space
    existing = list(space.facts())
    if existing:
        for deleted in space.admin.delete_topics(existing).values():
            deleted.result(TIMEOUT_S)


def test_missing_topics_are_refused_with_exit_code_2_and_nothing_is_created(space: Space) -> None:
    result = space.run()
    assert result.exit_code == 2
    for name in space.names:
        assert f"is {name!r}: the cluster has no such topic" in result.stdout
    assert result.stdout.count("tailstream topics --create") == 4
    assert space.facts() == {}


def test_create_makes_all_four_and_the_check_that_follows_is_satisfied(space: Space) -> None:
    result = space.run("--create", "--partitions", "5")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "ok")
    facts = space.facts()
    assert sorted(facts) == sorted(space.names)
    for topic in facts.values():
        assert topic.partitions == 5
        assert topic.cleanup_policy == "delete"
        assert topic.timestamp_type == "LogAppendTime"
    assert space.run().exit_code == 0


def test_what_exemplars_and_rekey_read_is_made_and_checked_where_the_settings_speak_of_it(
    space: Space,
) -> None:
    spoken = [word for each in space.beside.items() for word in ("--set", "=".join(each))]
    assert space.run("--create", "--partitions", "3").exit_code == 0
    without = space.run(*spoken)
    assert without.exit_code == 0, "no worker needs them"
    assert without.stdout.count("warning") == 2
    for setting, name in space.beside.items():
        assert f"{setting} is {name!r}: the cluster has no such topic" in without.stdout

    made = space.run("--create", *spoken)

    assert (made.exit_code, made.stdout.splitlines()[-1]) == (0, "ok")
    facts = space.facts()
    assert sorted(facts) == sorted([*space.names, *space.beside.values()])
    assert {topic.partitions for topic in facts.values()} == {3}


def test_create_follows_an_input_that_exists_and_leaves_it_as_it_is(space: Space) -> None:
    space.create_input(3, **{"retention.ms": "5000000", "message.timestamp.type": "CreateTime"})
    before = space.config(space.input)
    result = space.run("--create", "--partitions", "7")
    assert result.exit_code == 0
    assert "message.timestamp.type=CreateTime" in result.stdout
    assert space.config(space.input) == before
    facts = space.facts()
    assert {topic.partitions for topic in facts.values()} == {3}
    assert facts[f"{space.prefix}_decisions"].retention_ms == 5_000_000


def test_a_compacted_input_is_refused_with_the_command_that_mends_it(space: Space) -> None:
    space.create_input(2, **{"cleanup.policy": "compact"})
    result = space.run("--create")
    assert result.exit_code == 2
    command = f"--entity-name {space.input} --add-config cleanup.policy=delete"
    assert command in result.stdout


@pytest.mark.parametrize(
    ("librdkafka_name", "ours"),
    [("fnv1a_random", "fnv1a"), ("murmur2_random", "murmur2"), ("consistent_random", "crc32")],
)
def test_the_partitioner_of_a_real_producer_is_recognised(
    space: Space, librdkafka_name: str, ours: str
) -> None:
    space.create_input(6, **{"message.timestamp.type": "LogAppendTime"})
    space.fill_input(librdkafka_name)
    result = space.run("--create")
    assert result.exit_code == 0
    assert "looked at 400 recent records" in result.stdout
    assert "400 x trace id, 32 lowercase hex digits" in result.stdout
    assert "200 of 200 in one partition" in result.stdout
    assert f"partitioner  {ours}" in result.stdout
    assert ("warning" in result.stdout) is (ours != "fnv1a")


def test_records_without_keys_are_refused_with_the_exporters_setting(space: Space) -> None:
    space.create_input(6)
    space.fill_input("fnv1a_random", keyed=False)
    result = space.run("--create")
    assert result.exit_code == 2
    assert "partition_traces_by_id: true" in result.stdout


def test_a_sample_is_the_newest_records_and_no_more_than_asked_for(space: Space) -> None:
    space.create_input(2)
    space.fill_input("fnv1a_random")
    kafka = {"bootstrap.servers": space.bootstrap}
    everything = read_recent(kafka, space.input, 2, group="tailstream-test")
    newest = read_recent(kafka, space.input, 2, group="tailstream-test", records_max=60)
    assert len(everything) == 2 * TRACES
    for partition in (0, 1):
        of_partition = [record for record in everything if record.partition == partition]
        sampled = [record for record in newest if record.partition == partition]
        assert sampled == of_partition[-30:]


def test_an_address_without_a_broker_is_named_with_the_remedy() -> None:
    result = CliRunner().invoke(main, ["topics", "--set", "kafka.bootstrap.servers=127.0.0.1:1"])
    assert result.exit_code == 2
    assert result.stderr.startswith("kafka.bootstrap.servers is '127.0.0.1:1': no broker there")
    assert "--set kafka.bootstrap.servers=host:port" in result.stderr
