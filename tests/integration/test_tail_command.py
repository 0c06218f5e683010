"""`tailstream tail` on a real Kafka."""

import json
import signal
import subprocess

import pytest
from confluent_kafka import Producer

from stream.testing.spans import a_trace, trace_id_of, traces_data
from tests.harness.topics import Topics
from tests.harness.worker import COMMAND

pytestmark = pytest.mark.integration


def keep(topics: Topics, trace: int, policy: str, *, commit: bool) -> None:
    """Write a kept trace as a worker does, in a transaction that commits or not."""
    producer = Producer(
        {"bootstrap.servers": topics.bootstrap, "transactional.id": f"{topics.prefix}-{trace}"}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(
        topics.output,
        traces_data(*a_trace(trace)),
        trace_id_of(trace).hex(),
        headers=[("tailstream.policy", policy), ("tailstream.trigger", "decision_wait")],
    )
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def command(topics: Topics, *options: str) -> list[str]:
    settings = (f"kafka.bootstrap.servers={topics.bootstrap}", f"topics.output={topics.output}")
    words = [str(COMMAND), "tail", "--from-beginning", *options]
    return words + [word for setting in settings for word in ("--set", setting)]


def tail(topics: Topics, *options: str) -> list[str]:
    done = subprocess.run(
        command(topics, *options), capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


def test_kept_traces_that_pass_the_filters_are_told_and_aborted_ones_are_not(
    topics: Topics,
) -> None:
    keep(topics, 1, "errors", commit=False)
    keep(topics, 2, "rest", commit=True)
    keep(topics, 3, "errors", commit=True)

    (line,) = tail(topics, "--policy", "errors", "--limit", "1", "--json")

    told = json.loads(line)
    assert (told["trace_id"], told["policy"]) == (trace_id_of(3).hex(), "errors")


def test_a_kept_trace_is_drawn_with_why_it_was_kept(topics: Topics) -> None:
    keep(topics, 4, "slow", commit=True)

    title, *tree = tail(topics, "--limit", "1")

    assert title.startswith(f"{trace_id_of(4).hex()}  kept by slow")
    assert len([line for line in tree if line]) == len(a_trace(4))


def test_while_it_waits_it_says_for_what_and_which_policies_came_instead(topics: Topics) -> None:
    keep(topics, 5, "rest", commit=True)

    waits = subprocess.Popen(
        command(topics, "--policy", "slo"),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with waits:
        assert waits.stderr is not None
        told = []
        for line in waits.stderr:
            told.append(line)
            if "the policies that came: " in line:
                break
        waits.send_signal(signal.SIGINT)
        code = waits.wait(20)

    assert topics.output in told[0]
    assert "kept by slo" in told[0]
    assert "'slo' is not in these settings, which have errors, slow, rest" in told[1]
    assert told[-1].endswith("no kept trace had policy 'slo'; the policies that came: rest\n")
    assert code == 0


def test_a_topic_that_is_not_there_is_refused_and_not_waited_for(kafka: str) -> None:
    nowhere = Topics(kafka, "tailstream_test_nowhere")

    with pytest.raises(subprocess.CalledProcessError) as refused:
        tail(nowhere)

    assert refused.value.returncode == 2
    assert nowhere.output in refused.value.stderr


def test_where_no_broker_answers_it_says_what_it_waited_for_and_what_to_look_at() -> None:
    away = Topics("127.0.0.1:1", "tailstream_test_away")

    with pytest.raises(subprocess.CalledProcessError) as refused:
        tail(away)

    waits, why = refused.value.stderr.splitlines()
    assert refused.value.returncode == 2
    assert away.output in waits
    assert why.startswith("kafka.bootstrap.servers is '127.0.0.1:1': ")
    assert "Start Kafka, or correct the address" in why
