"""`tailstream compare` on a real Kafka: our output beside another sampler's."""

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream.testing.spans import a_span, span_id_of, trace_id_of, traces_data
from tests.harness.topics import REQUEST_TIMEOUT_S, Topics
from tests.harness.worker import COMMAND

pytestmark = pytest.mark.integration

SAME, DIFFERENT, MISTAKE = 0, 1, 2
FIRST_S, MIDDLE_S, LAST_S = 1_200, 900, 600  # ago


@pytest.fixture
def two(topics: Topics) -> Iterator[tuple[Topics, str, str]]:
    """Give topics whose records have their producers' times: ours, and the other's."""
    admin = AdminClient({"bootstrap.servers": topics.bootstrap, "log_level": 0})
    names = (f"{topics.prefix}_ours", f"{topics.prefix}_other")
    config = {"message.timestamp.type": "CreateTime"}
    for made in admin.create_topics(
        [NewTopic(name, 3, 1, config=config) for name in names]
    ).values():
        made.result(REQUEST_TIMEOUT_S)
    yield (topics, *names)
    for gone in admin.delete_topics(list(names)).values():
        gone.result(REQUEST_TIMEOUT_S)


def spans_of(trace: int, *spans: int) -> bytes:
    id_ = trace_id_of(trace)
    return traces_data([a_span(trace_id=id_, span_id=span_id_of(span)) for span in spans])


def write(bootstrap: str, topic: str, *records: tuple[int, bytes], policy: str = "") -> None:
    """Write records, each so many seconds ago, over the topic's partitions."""
    producer = Producer({"bootstrap.servers": bootstrap})
    now_ms = round(time.time() * 1000)
    headers = [("tailstream.policy", policy.encode())] if policy else []
    for number, (ago_s, value) in enumerate(records):
        timestamp = now_ms - ago_s * 1000
        place = {"partition": number % 3, "timestamp": timestamp, "headers": headers}
        producer.produce(topic, value, **place)
    assert producer.flush(30) == 0


def abort(bootstrap: str, topic: str, value: bytes) -> None:
    """Write a record as a worker that crashes before its commit."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    timestamp = round(time.time() * 1000) - MIDDLE_S * 1000
    producer.produce(topic, value, partition=0, timestamp=timestamp)
    assert producer.flush(30) == 0
    producer.abort_transaction(30)


def compare(
    topics: Topics, ours: str, other: str, *options: str
) -> "subprocess.CompletedProcess[str]":
    command = [str(COMMAND), "compare", "--other-topic", other, *options]
    command += ["--set", f"kafka.bootstrap.servers={topics.bootstrap}"]
    command += ["--set", f"topics.output={ours}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_same_traces_end_with_0_whatever_was_aborted(two: tuple[Topics, str, str]) -> None:
    topics, ours, other = two
    ends = [(ago_s, spans_of(100 + ago_s, 1)) for ago_s in (FIRST_S, LAST_S)]
    whole = (MIDDLE_S, spans_of(1, 1, 2))
    write(topics.bootstrap, ours, *ends, whole, policy="errors")
    write(topics.bootstrap, other, *ends, (MIDDLE_S, spans_of(1, 2)), (MIDDLE_S, spans_of(1, 1)))
    abort(topics.bootstrap, ours, spans_of(2, 1))

    done = compare(topics, ours, other)

    assert done.returncode == SAME, done.stderr
    assert "2 traces nearer than 2m to an end of the time both cover" in done.stdout
    assert ["errors", "1", "0", "0"] in [line.split() for line in done.stdout.splitlines()]
    assert done.stdout.splitlines()[-1] == "The same traces, with the same spans."


def test_what_differs_ends_with_1_and_is_told_by_policy_with_ids(
    two: tuple[Topics, str, str],
) -> None:
    topics, ours, other = two
    ends = [(ago_s, spans_of(100 + ago_s, 1)) for ago_s in (FIRST_S, LAST_S)]
    here = [(MIDDLE_S, spans_of(1, 1, 2)), (MIDDLE_S, spans_of(2, 1))]
    write(topics.bootstrap, ours, *ends, *here, policy="slow")
    write(topics.bootstrap, other, *ends, (MIDDLE_S, spans_of(1, 1)), (MIDDLE_S, spans_of(3, 1)))

    done = compare(topics, ours, other, "--json", "--other-bootstrap", topics.bootstrap)

    assert done.returncode == DIFFERENT, done.stderr
    told = json.loads(done.stdout)
    assert (told["only_ours"], told["only_other"], told["spans_differ"]) == (
        {"slow": 1},
        1,
        {"slow": 1},
    )
    assert told["examples"] == {
        "only_ours": [{"trace_id": trace_id_of(2).hex(), "policy": "slow"}],
        "only_other": [trace_id_of(3).hex()],
        "spans_differ": [
            {"trace_id": trace_id_of(1).hex(), "policy": "slow", "only_ours": 1, "only_other": 0}
        ],
    }
    words = compare(topics, ours, other)
    assert words.returncode == DIFFERENT
    assert f"only in {other}: {trace_id_of(3).hex()} (tailstream explain" in words.stdout
    assert words.stdout.splitlines()[-1] == "3 of 3 traces differ."


def test_nothing_to_compare_and_a_missing_topic_end_with_2_and_the_remedy(
    two: tuple[Topics, str, str],
) -> None:
    topics, ours, other = two
    write(topics.bootstrap, ours, (MIDDLE_S, spans_of(1, 1)))

    empty = compare(topics, ours, other)
    missing = compare(topics, ours, f"{topics.prefix}_nowhere")
    silent = compare(topics, ours, other, "--other-bootstrap", "127.0.0.1:1")

    assert (empty.returncode, missing.returncode, silent.returncode) == (MISTAKE,) * 3
    assert f"{ours} has 1 trace, {other} 0 traces" in empty.stderr
    assert "Set --other-topic" in missing.stderr
    assert "--other-bootstrap is '127.0.0.1:1'" in silent.stderr
