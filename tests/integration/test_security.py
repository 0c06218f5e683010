"""A broker that asks who one is, and what one may: passwords, certificates, permissions."""

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer

from stream.testing.spans import a_trace, trace_id_of, traces_data
from tests.harness.authority import Authority
from tests.harness.backend import LocalBackend, Reply
from tests.harness.beside import BesideProcess
from tests.harness.kafka_jars import MissingToolError
from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.otlp_metrics import one_point
from tests.harness.secured_broker import (
    DESCRIBE,
    DESCRIBE_CONFIGS,
    GROUP,
    READ,
    TOPIC,
    TRANSACTIONAL_ID,
    WRITE,
    Permission,
    SecuredBroker,
    allow,
    as_overrides,
    forget_all_permissions,
    permissions_of_a_worker,
    secured_broker,
    take_away,
)
from tests.harness.sender import Sender
from tests.harness.topics import (
    Topics,
    end_offsets,
    metrics_topic_of,
    topics_of_a_test,
    wait_for,
)
from tests.harness.verify import decisions_complete, nothing_missing_and_nothing_twice, read_back
from tests.harness.worker import COMMAND, WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

PASSWORD, KEY_PASSWORD = "hunter2-of-the-user", "hunter2-of-the-key"
SECRET = "hunter2"
RULES = Rules(decision_wait_ms=1000, slow_ms=1000, percentage=5)
OPERATOR = 2
END_TIMEOUT_S = 60.0
PAGES = [
    "/",
    "/livez",
    "/readyz",
    "/metrics",
    "/config",
    "/config/",
    "/stats/",
    "/graph",
    "/table/",
]

Kafka = dict[str, str]
Door = Callable[[SecuredBroker], Kafka]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    home = tmp_path_factory.mktemp("secured")
    try:
        with secured_broker(home, password=PASSWORD, key_password=KEY_PASSWORD) as running:
            yield running
    except MissingToolError as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture
def topics(broker: SecuredBroker) -> Iterator[Topics]:
    """Give topics that the worker may use, and no more."""
    with topics_of_a_test(broker.bootstrap) as fresh:
        allow(broker.admin, permissions_of_a_worker(fresh))
        yield fresh


@pytest.fixture
def start(topics: Topics, tmp_path: Path) -> Iterator[Callable[[Mapping[str, str]], WorkerProcess]]:
    """Give what starts a worker with these settings of the client."""
    started: list[WorkerProcess] = []

    def one(kafka: Mapping[str, str]) -> WorkerProcess:
        slot, level = f"w{len(started)}", "debug" if "debug" in kafka else "info"
        started.append(
            WorkerProcess(topics, RULES, tmp_path, slot=slot, kafka=kafka, log_level=level)
        )
        started[-1].start()
        return started[-1]

    yield one
    for worker in started:
        worker.close()


Start = Callable[[Mapping[str, str]], WorkerProcess]


def by_password(broker: SecuredBroker) -> Kafka:
    return broker.by_password(PASSWORD)


def by_certificate(broker: SecuredBroker) -> Kafka:
    return broker.by_certificate()


def wrong_password(broker: SecuredBroker) -> Kafka:
    return broker.by_password("hunter2-is-not-it")


def untrusted_authority(broker: SecuredBroker) -> Kafka:
    other = Authority(broker.authority.parent, "somebody")
    return broker.by_password(PASSWORD, **{"ssl.ca.location": str(other.certificate)})


def no_certificate(broker: SecuredBroker) -> Kafka:
    settings = broker.by_certificate()
    return {
        name: value
        for name, value in settings.items()
        if not name.startswith(("ssl.certificate", "ssl.key"))
    }


def wrong_key_password(broker: SecuredBroker) -> Kafka:
    return broker.by_certificate(**{"ssl.key.password": "hunter2-is-not-it"})


def run(
    command: str, topics: Topics, kafka: Kafka, *more: str
) -> "subprocess.CompletedProcess[str]":
    names = {
        "input": topics.input,
        "output": topics.output,
        "decisions": topics.decisions,
        "dead_letters": topics.dead_letters,
    }
    words = [str(COMMAND), command, *more, *as_overrides(kafka)]
    words += ["--set", f"worker.group={topics.group}"]
    for name, topic in names.items():
        words += ["--set", f"topics.{name}={topic}"]
    return subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)


def send(topics: Topics) -> None:
    """Send a load through the plain door."""
    load = Load(spans=2_000, duration_s=1, late_after_s=0.5)
    sender = Sender(topics.bootstrap, topics.input, load.records())
    sender.start()
    sender.finish()


def code_of_its_end(worker: WorkerProcess) -> int | None:
    wait_for("the end of the worker", lambda: worker.ended() is not None, timeout_s=END_TIMEOUT_S)
    return worker.ended()


@pytest.mark.parametrize("door", [by_password, by_certificate], ids=["password", "certificate"])
def test_topics_worker_and_tail_work_with_the_listed_permissions_and_no_more(
    broker: SecuredBroker, topics: Topics, start: Start, door: Door
) -> None:
    kafka = door(broker)
    checked = run("topics", topics, kafka)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    worker = start(kafka)
    send(topics)
    wait_until_all_is_decided(topics, [worker])
    worker.terminate()

    written = read_back(topics)
    expectation = written.expectation(RULES)
    assert expectation.kept
    nothing_missing_and_nothing_twice(written, expectation)
    decisions_complete(written, expectation)

    allow(broker.admin, [(TOPIC, topics.output, READ)])
    told = run("tail", topics, kafka, "--from-beginning", "--limit", "1", "--json")
    assert told.returncode == 0, told.stderr
    assert '"policy"' in told.stdout


def test_a_dropped_trace_is_promoted_with_the_listed_permissions_and_no_more(
    broker: SecuredBroker, topics: Topics, start: Start
) -> None:
    worker = start(by_password(broker))
    send(topics)
    wait_until_all_is_decided(topics, [worker])
    expectation = read_back(topics).expectation(RULES)
    dropped = min(expectation.traces.keys() - expectation.kept)

    pinned = run("pin", topics, {"bootstrap.servers": broker.bootstrap}, dropped.hex())

    assert pinned.returncode == 0, pinned.stderr
    wait_for("the promotion", lambda: _promoted(worker) > 0, timeout_s=END_TIMEOUT_S)
    worker.terminate()


def _promoted(worker: WorkerProcess) -> int:
    worker.assert_runs()
    return worker.accounts().get("promoted", 0)


@pytest.mark.parametrize(
    ("door", "says"),
    [
        (wrong_password, "Correct kafka.sasl.username and kafka.sasl.password"),
        (untrusted_authority, "Set kafka.ssl.ca.location to the certificate of the authority"),
        (no_certificate, "Set kafka.ssl.certificate.location and kafka.ssl.key.location"),
        (wrong_key_password, "correct kafka.ssl.key.password"),
    ],
    ids=["password", "authority", "certificate", "key"],
)
def test_who_is_not_let_in_is_told_which_setting_to_mend(
    broker: SecuredBroker, topics: Topics, start: Start, door: Door, says: str
) -> None:
    kafka = door(broker)
    worker = start(kafka)
    commands = [
        run("topics", topics, kafka),
        run("tail", topics, kafka),
        run("explain", topics, kafka, "a" * 32),
    ]

    assert code_of_its_end(worker) == OPERATOR, worker.log_tail()
    assert says in worker.log_tail(1)
    for done in commands:
        assert (done.returncode, says in done.stderr) == (OPERATOR, True), done.stderr
        assert SECRET not in done.stdout + done.stderr
    assert SECRET not in worker.log_tail(10_000)


def input_settings(topics: Topics) -> Permission:
    return TOPIC, topics.input, DESCRIBE_CONFIGS


def input_read(topics: Topics) -> Permission:
    return TOPIC, topics.input, READ


def output_write(topics: Topics) -> Permission:
    return TOPIC, topics.output, WRITE


def positions_read(topics: Topics) -> Permission:
    return GROUP, f"{topics.group}-position", READ


def transactions_write(topics: Topics) -> Permission:
    return TRANSACTIONAL_ID, topics.group, WRITE


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        (input_settings, "DescribeConfigs"),
        (input_read, "Describe on it"),
        (output_write, "Describe on it"),
        (positions_read, "Group authorization failed"),
        (transactions_write, "Transactional Id authorization failed"),
    ],
    ids=["input's settings", "input", "output", "positions", "transactions"],
)
def test_a_permission_that_was_never_granted_ends_the_worker_with_its_name_and_the_remedy(
    broker: SecuredBroker,
    topics: Topics,
    start: Start,
    lacks: Callable[[Topics], Permission],
    says: str,
) -> None:
    permission = lacks(topics)
    take_away(broker.admin, permission)
    worker = start(by_password(broker))
    send(topics)

    assert code_of_its_end(worker) == OPERATOR, worker.log_tail()
    last = worker.log_tail(1)
    assert says in last
    assert permission[1].removesuffix("-position") in last
    assert "kafka-acls.sh --add" in last or "grant the worker's principal" in last


def test_a_group_that_was_never_granted_is_named_while_the_worker_waits(
    broker: SecuredBroker, topics: Topics, start: Start
) -> None:
    take_away(broker.admin, (GROUP, topics.group, READ))
    worker = start(by_password(broker))

    wait_for("a word", lambda: "the group does not answer" in worker.log_tail(), timeout_s=60)
    worker.assert_runs()
    assert topics.group in worker.log_tail()
    allow(broker.admin, [(GROUP, topics.group, READ)])
    worker.wait_until_ready()
    worker.terminate()


def test_a_permission_that_is_taken_away_later_ends_the_worker_with_its_name(
    broker: SecuredBroker, topics: Topics, start: Start
) -> None:
    worker = start(by_certificate(broker))
    worker.wait_until_ready()

    take_away(broker.admin, (TOPIC, topics.output, WRITE))
    send(topics)

    assert code_of_its_end(worker) == OPERATOR, worker.log_tail()
    last = worker.log_tail(1)
    assert "Topic authorization failed" in last
    assert topics.output in last
    assert "grant the worker's principal" in last


def test_a_restart_needs_read_on_the_decisions_and_nothing_else_beside_what_is_listed(
    broker: SecuredBroker, topics: Topics, start: Start
) -> None:
    worker = start(by_password(broker))
    send(topics)
    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    worker.start()
    worker.wait_until_ready()
    worker.terminate()

    take_away(broker.admin, (TOPIC, topics.decisions, READ))
    worker.start()

    assert code_of_its_end(worker) == OPERATOR, worker.log_tail()
    last = worker.log_tail(1)
    assert "authorization failed" in last
    assert topics.decisions in last


def test_no_secret_is_printed_or_served_whatever_is_asked_and_however_it_ends(
    broker: SecuredBroker, topics: Topics, start: Start
) -> None:
    kafka = {**broker.by_certificate(), "debug": "all"}
    more = ["--set", "export.headers.Authorization=Bearer hunter2-of-the-backend"]
    worker = start(kafka)
    send(topics)
    wait_until_all_is_decided(topics, [worker])
    served = {page: worker.page(page) for page in PAGES}
    worker.send(signal.SIGABRT)  # every thread's stack is printed
    code = code_of_its_end(worker)
    by_its_password = start({**broker.by_password(PASSWORD), "debug": "all"})
    by_its_password.wait_until_ready()
    by_its_password.terminate()
    said = [
        run(command, topics, settings, *arguments, *more)
        for settings in (broker.by_password(PASSWORD), broker.by_certificate())
        for command, *arguments in (("validate",), ("explain", "a" * 32), ("topics",))
    ]

    assert code == -signal.SIGABRT
    logs = [each.log_tail(1_000_000) for each in (worker, by_its_password)]
    assert "Fatal Python error: Aborted" in logs[0]
    assert all("librdkafka" in log for log in logs)  # it said all that it says
    assert served["/metrics"]
    assert [each.returncode for each in said] == [0, 1, 0] * 2  # the trace is unknown
    everything = [*logs, *served.values(), *(each.stdout + each.stderr for each in said)]
    assert not [text for text in everything if SECRET in text]


def test_the_pages_are_served_to_this_machine_alone_unless_told_otherwise(
    broker: SecuredBroker, start: Start
) -> None:
    worker = start(by_certificate(broker))
    worker.wait_until_ready()

    assert worker.page("/livez") == "ok\n"
    # Linux answers on all of 127.0.0.0/8: a port that is open to all is open there.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", worker.port), timeout=5).close()


BESIDE = {
    "export": {
        'tailstream_dead_letters_total{reason="malformed"}': 1,
        'tailstream_export_spans_total{outcome="sent"}': 3,
    },
    "rekey": {
        'tailstream_dead_letters_total{reason="malformed"}': 1,
        "tailstream_rekey_spans_total": 3,
    },
    "exemplars": {
        'tailstream_exemplars_records_total{kind="malformed"}': 1,
        'tailstream_exemplars_total{outcome="pinned",source="kafka"}': 1,
    },
}
"""What each measures of one good record and a bad one."""

BAD = b"\x0a\xff\xff\xff\xff\x0f"


def source_of(command: str, topics: Topics) -> str:
    """Return what the command reads; `rekey` what is not the worker's, which it writes."""
    return topics.output if command == "export" else topics.metrics


def permissions_of(command: str, topics: Topics) -> list[Permission]:
    """Return all that the command needs, as the README lists it."""
    read = source_of(command, topics)
    written = {
        "export": [topics.dead_letters],
        "rekey": [topics.input, topics.dead_letters],
        "exemplars": [topics.input],
    }[command]
    return [
        *((TOPIC, topic, DESCRIBE_CONFIGS) for topic in (read, *written)),
        (TOPIC, read, READ),
        *((TOPIC, topic, WRITE) for topic in written),
        (GROUP, f"{topics.group}-{command}", READ),
    ]


@contextmanager
def runs_beside(
    command: str, broker: SecuredBroker, home: Path, lacks: int | None = None
) -> Iterator[tuple[BesideProcess, Topics, LocalBackend]]:
    """Run a command with what it needs, but for the permission of this number."""
    with (
        topics_of_a_test(broker.bootstrap) as fresh,
        metrics_topic_of(fresh, partitions=2),
        closing(LocalBackend(lambda _request, _before: Reply())) as backend,
    ):
        wanted = permissions_of(command, fresh)
        granted = [each for number, each in enumerate(wanted) if number != lacks]
        # Or it would not even know that the topic is there, which is told as such.
        seen = list({(TOPIC, name, DESCRIBE) for kind, name, _ in wanted if kind is TOPIC})
        forget_all_permissions(broker.admin)
        allow(broker.admin, granted + (seen if lacks is not None else []))
        more = {f"kafka.{name}": value for name, value in by_password(broker).items()}
        more |= {"export.endpoint": backend.endpoint, "topics.decisions": fresh.decisions}
        if command == "rekey":
            more |= {"topics.unkeyed": source_of(command, fresh), "topics.metrics": "none"}
        good = one_point(trace_id_of(1)) if command == "exemplars" else traces_data(a_trace(1))
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for value in (good, BAD):
            producer.produce(source_of(command, fresh), value)
        assert producer.flush(30) == 0
        running = BesideProcess(command, fresh, home, more)
        try:
            yield running, fresh, backend
        finally:
            running.close()


@pytest.mark.parametrize("command", BESIDE)
def test_what_runs_beside_the_workers_works_with_the_listed_permissions_and_no_more(
    broker: SecuredBroker, tmp_path: Path, command: str
) -> None:
    with runs_beside(command, broker, tmp_path) as (running, topics, backend):
        wanted = BESIDE[command]

        def done() -> bool:
            assert running.returncode() is None, running.log_tail()
            return {name: running.pages.value(name) for name in wanted} == wanted

        wait_for("both records", done, timeout_s=END_TIMEOUT_S)
        written = {
            topic: sum(end_offsets(topics.bootstrap, topic).values())
            for topic in (topics.input, topics.dead_letters)
        }
        assert (
            list(written.values())
            == {
                "export": [0, 1],
                "rekey": [1, 1],
                "exemplars": [1, 0],
            }[command]
        )
        assert (backend.spans_by_trace().total() == 3) is (command == "export")


@pytest.mark.parametrize(
    ("command", "lacks"),
    [
        (command, number)
        for command, count in (("export", 5), ("rekey", 7), ("exemplars", 5))
        for number in range(count)
    ],
)
def test_a_permission_that_one_of_them_lacks_ends_it_with_its_name_and_the_remedy(
    broker: SecuredBroker, tmp_path: Path, command: str, lacks: int
) -> None:
    with runs_beside(command, broker, tmp_path, lacks) as (running, topics, _):
        _, name, operation = permissions_of(command, topics)[lacks]
        wait_for("its end", lambda: running.returncode() is not None, timeout_s=END_TIMEOUT_S)

        assert running.returncode() == OPERATOR, running.log_tail()
        last = running.log_tail(1)
        assert repr(name) in last
        words = {DESCRIBE_CONFIGS: "DescribeConfigs", READ: "Read", WRITE: "Write"}
        assert words[operation] in last, last
        assert "kafka-acls.sh --add" in last
