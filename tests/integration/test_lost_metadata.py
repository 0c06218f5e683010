"""Lost, foreign or stale commit metadata costs time: a longer restore, never a span."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import (
    PARTITIONS,
    REQUEST_TIMEOUT_S,
    Topics,
    create_topics,
    end_offsets,
    wait_for,
)
from tests.harness.verify import (
    Written,
    decisions_complete,
    nothing_missing_and_nothing_twice,
    read_back,
)
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=2000, slow_ms=1000, percentage=5)
Committed = dict[int, tuple[int, str]]
Tool = Callable[[Committed, Committed], Mapping[int, str]]


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[WorkerProcess]:
    with ExitStack() as ended:
        worker = WorkerProcess(topics, RULES, tmp_path, slot="worker-0")
        ended.callback(worker.close)
        yield worker


def dropped(_: Committed, now: Committed) -> Mapping[int, str]:
    """What any tool does that resets offsets, here to where they are."""
    return dict.fromkeys(now, "")


def foreign(_: Committed, now: Committed) -> Mapping[int, str]:
    """Another client's metadata."""
    return dict.fromkeys(now, '{"v":2,"checkpoint":[1,2,3]}')


def stale(before: Committed, now: Committed) -> Mapping[int, str]:
    """The hints of an earlier commit beside a later offset, as a mirror's offset sync has it."""
    return {number: before[number][1] for number in now}


def of_a_neighbour(_: Committed, now: Committed) -> Mapping[int, str]:
    """The hints of another partition, changed to agree with the offset, not with the topic."""
    spoilt = {}
    for number, committed in now.items():
        offset = committed[0]
        its_offset, hints = now[(number + 1) % PARTITIONS]
        hints = hints.replace(f'"offset":{its_offset},', f'"offset":{offset},')
        spoilt[number] = hints.replace('"topic_id":"', '"topic_id":"another ')
    return spoilt


@pytest.mark.parametrize("tool", [dropped, foreign, stale, of_a_neighbour])
def test_metadata_that_a_tool_dropped_or_spoiled_costs_no_span(
    topics: Topics, worker: WorkerProcess, tool: Tool
) -> None:
    load = Load(spans=60_000, duration_s=25, late_after_s=2.4)
    sender = Sender(topics.bootstrap, topics.input, load.records())
    worker.start()
    worker.wait_until_ready()
    sender.hold_at(0.9)
    sender.start()
    wait_for("every partition in decisions", lambda: decided_beyond(topics, {}), timeout_s=30)
    before = read(topics)
    wait_for("and again", lambda: decided_beyond(topics, before), timeout_s=30)
    worker.terminate()

    now = read(topics)
    spoilt = tool(before, now)
    assert all(spoilt[number] != metadata for number, (_, metadata) in now.items())
    write(topics, {number: (offset, spoilt[number]) for number, (offset, _) in now.items()})
    worker.start()
    sender.release()
    sender.finish()

    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    as_expected(read_back(topics))


def test_a_topic_made_anew_under_its_old_name_has_nothing_decided_in_it(
    topics: Topics, worker: WorkerProcess
) -> None:
    load = Load(spans=15_000, duration_s=3, late_after_s=2.4)
    sent_whole(topics, load)
    worker.start()
    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    old = read_back(topics)
    as_expected(old)
    hints = read(topics)

    made_anew(topics)
    # The same trace ids: each has a decision already, about the topic that is gone.
    sent_whole(topics, load)
    write(topics, {number: (0, metadata) for number, (_, metadata) in hints.items()})
    worker.start()
    wait_until_all_is_decided(topics, [worker])
    worker.terminate()

    as_expected(without(read_back(topics), old))


def decided_beyond(topics: Topics, before: Committed) -> bool:
    """Tell whether the resume offset of every partition has moved."""
    now = read(topics)
    return len(now) == PARTITIONS and all(
        offset > before.get(number, (0, ""))[0] for number, (offset, _) in now.items()
    )


def as_expected(written: Written) -> None:
    expectation = written.expectation(RULES)
    nothing_missing_and_nothing_twice(written, expectation)
    decisions_complete(written, expectation)


def without(both: Written, old: Written) -> Written:
    """What was written since: the topics' partitions are read in any order."""
    output = {(record.partition, record.offset) for record in old.output}
    decisions = {(record.partition, record.offset) for record, _ in old.decisions}
    return replace(
        both,
        output=[one for one in both.output if (one.partition, one.offset) not in output],
        decisions=[
            (one, decision)
            for one, decision in both.decisions
            if (one.partition, one.offset) not in decisions
        ],
    )


def sent_whole(topics: Topics, load: Load) -> None:
    sender = Sender(topics.bootstrap, topics.input, load.records())
    sender.start()
    sender.finish()


def made_anew(topics: Topics) -> None:
    admin = AdminClient({"bootstrap.servers": topics.bootstrap, "log_level": 4})
    for deleted in admin.delete_topics([topics.input]).values():
        deleted.result(REQUEST_TIMEOUT_S)
    wait_for(
        "the topic gone",
        lambda: topics.input not in admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics,
        timeout_s=30,
    )
    create_topics(topics.bootstrap, [topics.input])
    wait_for("the topic back, empty", lambda: is_empty(topics), timeout_s=30)


def is_empty(topics: Topics) -> bool:
    with suppress(KafkaException):  # its leaders are not known yet
        return set(end_offsets(topics.bootstrap, topics.input).values()) == {0}
    return False


def read(topics: Topics) -> Committed:
    """Return the group's committed offset and metadata by partition."""
    with closing(a_client(topics)) as client:
        asked = [TopicPartition(topics.input, number) for number in range(PARTITIONS)]
        found = client.committed(asked, REQUEST_TIMEOUT_S)
        return {one.partition: (one.offset, one.metadata or "") for one in found if one.offset >= 0}


def write(topics: Topics, offsets: Committed) -> None:
    """Commit as a tool does, while the group has no member."""
    with closing(a_client(topics)) as client:
        client.commit(
            offsets=[
                TopicPartition(topics.input, number, offset, metadata)
                for number, (offset, metadata) in offsets.items()
            ],
            asynchronous=False,
        )
    assert read(topics) == offsets


def a_client(topics: Topics) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": topics.bootstrap,
            "group.id": topics.group,
            "isolation.level": "read_committed",
            "log_level": 4,
        }
    )
