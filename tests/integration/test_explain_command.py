"""`tailstream explain` on a real Kafka."""

import json
import subprocess
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from stream.kafka.partitioner import fnv1a
from stream.sampling.decision import Decision, Trigger, encode
from stream.settings.model import Settings
from stream.testing.decisions import a_decision
from stream.testing.spans import trace_id_of
from tests.harness.topics import PARTITIONS, Topics
from tests.harness.worker import COMMAND

pytestmark = pytest.mark.integration

DECISION = a_decision(errors=1, upto=6, offsets=[4, 5], ballot="snn")


def decide(topics: Topics, *decisions: Decision, group: str = "", partition: int = -1) -> None:
    """Write decision records as a worker does, where the trace's id belongs or elsewhere."""
    producer = Producer({"bootstrap.servers": topics.bootstrap})
    for decision in decisions:
        config = Settings().policies_hash()
        key = decision.trace_id.hex().encode()
        producer.produce(
            topics.decisions,
            encode(decision, config=config, topic_id="t", group=group or topics.group),
            key,
            partition if partition >= 0 else fnv1a(key, PARTITIONS),
        )
    assert producer.flush(30) == 0


def explain(topics: Topics, trace: int, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [str(COMMAND), "explain", trace_id_of(trace).hex(), *options]
    for setting in (
        f"kafka.bootstrap.servers={topics.bootstrap}",
        f"topics.decisions={topics.decisions}",
        f"worker.group={topics.group}",
    ):
        command += ["--set", setting]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_decision_is_explained_with_its_votes_and_what_came_late(topics: Topics) -> None:
    late = replace(DECISION, trigger=Trigger.LATE, spans=2, upto=9, offsets=[8], ballot="")
    decide(topics, replace(DECISION, trace_id=trace_id_of(2), policy="slow"), DECISION, late)

    done = explain(topics, 1)

    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == (
        f"trace {trace_id_of(1).hex()}: kept, because errors voted to keep it "
        "(a span has status ERROR)."
    )
    assert "2 spans after the verdict, kept as well" in rest[-1]
    assert [line.split()[0] for line in rest[-4:-1]] == ["errors", "slow", "rest"]


def test_a_decision_in_another_partition_than_its_ids_is_found(topics: Topics) -> None:
    elsewhere = (fnv1a(trace_id_of(1).hex().encode(), PARTITIONS) + 1) % PARTITIONS
    decide(topics, DECISION, partition=elsewhere)

    done = explain(topics, 1, "--json")

    told = json.loads(done.stdout)
    assert (told["partition"], told["votes"][0]) == (
        elsewhere,
        {"policy": "errors", "vote": "sampled"},
    )


def test_of_a_trace_in_two_partitions_all_decisions_are_found_where_all_are_asked_for(
    topics: Topics,
) -> None:
    own = fnv1a(trace_id_of(1).hex().encode(), PARTITIONS)
    for partition in (own, (own + 1) % PARTITIONS):
        decide(topics, DECISION, partition=partition)

    one, both = explain(topics, 1, "--json"), explain(topics, 1, "--json", "--all-partitions")

    assert [json.loads(line)["partition"] for line in one.stdout.splitlines()] == [own]
    found = {json.loads(line)["partition"] for line in both.stdout.splitlines()}
    assert found == {own, (own + 1) % PARTITIONS}


def test_without_a_decision_it_says_what_may_be_and_ends_with_1(topics: Topics) -> None:
    decide(topics, DECISION, group="another")

    done = explain(topics, 1, "--since", "90s")

    assert (done.returncode, done.stdout) == (1, "")
    assert "no decision on it of the last 1m30s" in done.stderr
    assert "1 record of another group or version is there" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["xyz"], "'xyz' is no trace id; write its 32 hex digits"),
        (["0" * 32], "is no trace id"),
        (["a" * 32, "--since", "5"], "'5' has no unit; write e.g. 90s"),
        (["a" * 32, "--since", "-5s"], "'-5s' is not above 0s"),
        (["a" * 32, "--set", "topics.decisions=test_nowhere"], "test_nowhere"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(kafka: str, arguments: list[str], told: str) -> None:
    command = [str(COMMAND), "explain", *arguments]
    command += ["--set", f"kafka.bootstrap.servers={kafka}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
