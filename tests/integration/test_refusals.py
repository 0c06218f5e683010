"""A broker that refuses: each refusal ends as it deserves, and mended nothing is lost."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from tests.harness.broker import Broker, NoBrokerError, running_broker
from tests.harness.large_topics import Given, send_all
from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import (
    REQUEST_TIMEOUT_S,
    Topics,
    create_topics,
    topics_of_a_test,
    wait_for,
)
from tests.harness.verify import (
    Written,
    decisions_complete,
    nothing_missing_and_nothing_twice,
    read_back,
    whole_and_unchanged,
)
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=1000, slow_ms=1000, percentage=5)
SLOT = "w"
AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
END_TIMEOUT_S = 40.0

WRITE, READ = AclOperation.WRITE, AclOperation.READ
TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP
TRANSACTIONAL_ID = ResourceType.TRANSACTIONAL_ID
Named = Callable[[Topics], str]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """Give a broker that asks whether one may: everybody may what nobody was denied."""
    try:
        with running_broker(own=True, properties=AUTHORIZER) as running:
            yield running
    except NoBrokerError as none:
        pytest.fail(str(none), pytrace=False)


@pytest.fixture
def topics(broker: Broker) -> Iterator[Topics]:
    with topics_of_a_test(broker.bootstrap) as fresh:
        yield fresh


@pytest.fixture
def admin(broker: Broker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[WorkerProcess]:
    one = WorkerProcess(topics, RULES, tmp_path, slot=SLOT)
    yield one
    one.close()


def output(topics: Topics) -> str:
    return topics.output


def decisions(topics: Topics) -> str:
    return topics.decisions


def dead_letters(topics: Topics) -> str:
    return topics.dead_letters


def transactional_id(topics: Topics) -> str:
    return f"{topics.group}:{SLOT}"


@pytest.mark.parametrize(
    ("kind", "named", "operation", "says"),
    [
        (TOPIC, output, WRITE, "Topic authorization failed"),
        (TOPIC, decisions, WRITE, "Topic authorization failed"),
        (TOPIC, dead_letters, WRITE, "Topic authorization failed"),
        (TOPIC, lambda topics: topics.input, READ, "Topic authorization failed"),
        (TRANSACTIONAL_ID, transactional_id, WRITE, "Transactional Id authorization failed"),
        (GROUP, lambda topics: topics.group, READ, "Group authorization failed"),
        (GROUP, lambda topics: f"{topics.group}-position", READ, "Group authorization failed"),
    ],
    ids=["output", "decisions", "dead letters", "input", "transactions", "group", "positions"],
)
def test_a_permission_that_is_taken_away_ends_the_worker_with_its_name_and_back_nothing_is_lost(
    topics: Topics,
    admin: AdminClient,
    worker: WorkerProcess,
    kind: ResourceType,
    named: Named,
    operation: AclOperation,
    says: str,
) -> None:
    sender = half_sent(topics, worker)

    deny(admin, kind, named(topics), operation)
    sender.finish()
    assert code_of_its_end(worker) == 2
    said = worker.log_tail(1)
    assert says in said
    assert named(topics) in said or named(topics).removesuffix("-position") in said
    assert "grant the worker's principal" in said

    allow(admin, kind, named(topics))
    all_comes_out(topics, worker)


@pytest.mark.parametrize(
    ("kind", "named", "operation", "says"),
    [
        (TOPIC, output, WRITE, "Topic authorization failed"),
        (TRANSACTIONAL_ID, transactional_id, WRITE, "Transactional Id authorization failed"),
    ],
    ids=["output", "transactions"],
)
def test_a_worker_that_was_never_allowed_ends_with_the_name_of_what_it_lacks(
    topics: Topics,
    admin: AdminClient,
    worker: WorkerProcess,
    kind: ResourceType,
    named: Named,
    operation: AclOperation,
    says: str,
) -> None:
    deny(admin, kind, named(topics), operation)
    sender = sender_of(topics)
    sender.start()
    sender.finish()
    worker.start()

    assert code_of_its_end(worker) == 2
    assert says in worker.log_tail(1)
    assert named(topics) in worker.log_tail(1)

    allow(admin, kind, named(topics))
    all_comes_out(topics, worker)


def test_a_group_that_may_not_be_joined_is_named_while_the_worker_waits(
    topics: Topics, admin: AdminClient, worker: WorkerProcess
) -> None:
    deny(admin, GROUP, topics.group, READ)
    worker.start()
    wait_for("a word", lambda: "the group does not answer" in worker.log_tail(), timeout_s=60)
    worker.assert_runs()
    assert not worker.partitions()

    allow(admin, GROUP, topics.group)
    worker.wait_until_ready()
    worker.terminate()


@pytest.mark.parametrize("named", [output, decisions], ids=["output", "decisions"])
def test_a_topic_that_is_deleted_while_it_is_written_ends_the_worker_with_its_name(
    topics: Topics, admin: AdminClient, worker: WorkerProcess, named: Named
) -> None:
    sender = half_sent(topics, worker)

    admin.delete_topics([named(topics)])[named(topics)].result(REQUEST_TIMEOUT_S)
    try:
        sender.finish()
        assert code_of_its_end(worker) == 2, worker.log_tail()
        assert f"no such topic: {named(topics)}" in worker.log_tail(1)
    finally:
        create_topics(topics.bootstrap, [named(topics)])


def test_a_clock_that_the_broker_does_not_believe_ends_the_worker_with_the_topics_name(
    topics: Topics, admin: AdminClient, worker: WorkerProcess
) -> None:
    sender = half_sent(topics, worker)

    clock = {"message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": "1"}
    configure(admin, topics.output, **clock)
    sender.finish()
    code = code_of_its_end(worker)
    # Its own markers the broker holds to that clock too: where one is a millisecond late, no
    # transaction ends any more, and the watchdog is what remains.
    assert code in (2, 71)
    said = ("Invalid timestamp", topics.output) if code == 2 else ("no end of a transaction",)
    assert all(words in worker.log_tail(1) for words in said)


def test_brokers_that_take_less_metadata_than_ours_end_the_worker_with_their_setting(
    tmp_path: Path,
) -> None:
    few = {"offset.metadata.max.bytes": "64"}
    with (
        running_broker(own=True, properties=few) as broker,
        topics_of_a_test(broker.bootstrap) as topics,
        closing(WorkerProcess(topics, RULES, tmp_path, slot=SLOT)) as worker,
    ):
        worker.start()
        assert code_of_its_end(worker) == 2
        assert few.keys() <= {*worker.log_tail(1).replace(" (", " ").split()}


def test_traces_that_are_too_large_for_the_topic_are_found_and_the_others_go_on(
    topics: Topics, admin: AdminClient, worker: WorkerProcess
) -> None:
    sender = half_sent(topics, worker)
    configure(admin, topics.output, **{"max.message.bytes": "20000"})
    large = [large_trace(number) for number in range(3)]
    send_all(topics, large)
    sender.finish()
    wait_until_all_is_decided(topics, [worker])
    accounts = worker.accounts()
    worker.terminate()

    written = read_back(topics)
    pointers = [
        record
        for record in written.dead_letters
        if record.headers["tailstream.reason"] == b"undeliverable"
    ]
    assert {record.key for record in pointers} == {given.key for given in large}
    assert [(record.value, record.headers["tailstream.truncated"]) for record in pointers] == [
        (b"", b"true")
    ] * len(large)
    expectation = written.expectation(RULES)
    expected = expectation.accounts
    expected["sampled"] -= len(large)
    expected["dead_lettered"] += len(large)
    assert accounts == {**dict.fromkeys(accounts, 0), **expected}
    for given in large:
        assert expectation.traces.pop(trace_id_of(given)).policy == "errors"
    assert len(expectation.kept) > 50
    nothing_missing_and_nothing_twice(written, expectation)
    whole_and_unchanged(written, expectation, RULES)


def test_a_decision_that_is_too_large_for_its_topic_stops_the_worker_and_mended_nothing_is_lost(
    topics: Topics, admin: AdminClient, worker: WorkerProcess
) -> None:
    sender = half_sent(topics, worker)
    configure(admin, topics.decisions, **{"max.message.bytes": "100"})
    sender.finish()
    assert code_of_its_end(worker) == 2
    assert "raise max.message.bytes" in worker.log_tail(1)

    configure(admin, topics.decisions, **{"max.message.bytes": "1000000"})
    all_comes_out(topics, worker)


def large_trace(number: int) -> Given:
    """Return a trace that is kept, of one span that no compression makes small."""
    message = TracesData()
    span = message.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id = b"too-large" + number.to_bytes(7, "big")
    span.span_id = b"the-only"
    span.status.code = Status.STATUS_CODE_ERROR
    noise = Random(number).randbytes(50_000)
    span.attributes.add(key="noise").value.bytes_value = noise
    return Given(message.SerializeToString(), span.trace_id.hex().encode())


def trace_id_of(given: Given) -> bytes:
    assert given.key
    return bytes.fromhex(given.key.decode())


def half_sent(topics: Topics, worker: WorkerProcess) -> Sender:
    """Start the worker, then a load; return when a worker that decides is halfway through it."""
    worker.start()
    worker.wait_until_ready()
    sender = sender_of(topics)
    sender.start()
    wait_for("half of the load", lambda: sender.share_sent >= 0.5, timeout_s=60)
    return sender


def sender_of(topics: Topics) -> Sender:
    load = Load(spans=6_000, duration_s=4, late_after_s=1.4)
    return Sender(topics.bootstrap, topics.input, load.records())


def code_of_its_end(worker: WorkerProcess) -> int | None:
    wait_for("the end of the worker", lambda: worker.ended() is not None, timeout_s=END_TIMEOUT_S)
    return worker.ended()


def all_comes_out(topics: Topics, worker: WorkerProcess) -> Written:
    """Start the worker again, as a supervisor does; everything must be there."""
    worker.forget()
    worker.start()
    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    written = read_back(topics)
    expectation = written.expectation(RULES)
    nothing_missing_and_nothing_twice(written, expectation)
    whole_and_unchanged(written, expectation, RULES)
    decisions_complete(written, expectation)
    return written


def deny(admin: AdminClient, kind: ResourceType, name: str, operation: AclOperation) -> None:
    """Take one operation on one resource away from everybody."""
    rules = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, "User:*", "*", what, permission)
        for what, permission in (
            (AclOperation.ALL, AclPermissionType.ALLOW),
            (operation, AclPermissionType.DENY),
        )
    ]
    for made in admin.create_acls(rules).values():
        made.result(REQUEST_TIMEOUT_S)


def allow(admin: AdminClient, kind: ResourceType, name: str) -> None:
    every = AclBindingFilter(
        kind,
        name,
        ResourcePatternType.LITERAL,
        None,
        None,
        AclOperation.ANY,
        AclPermissionType.DENY,
    )
    for gone in admin.delete_acls([every]).values():
        gone.result(REQUEST_TIMEOUT_S)


def configure(admin: AdminClient, topic: str, **config: str) -> None:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in config.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for changed in admin.incremental_alter_configs([resource]).values():
        changed.result(REQUEST_TIMEOUT_S)
