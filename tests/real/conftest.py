"""Fixtures of the tests against real counterparts.

What takes long to build is built by the make target, not here. A counterpart that cannot be had
fails its tests: they have a target of their own, and no run of it passes without them.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.harness.broker import NoBrokerError, running_broker
from tests.harness.kafka_jars import kafka_version
from tests.harness.topics import REQUEST_TIMEOUT_S, Topics, create_topics, topics_of_a_test
from tests.real import collector_build, zipkin_server
from tests.real.chromium import Chromium, NoBrowserError
from tests.real.prometheus_build import VERSION, Binaries, NotBuiltError, built
from tests.real.report import Report
from tests.real.zipkin_server import NotFetchedError, Zipkin

REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--report", type=Path, help="write what the run found into this folder")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report()


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    outcomes = item.config.stash[REPORT].outcomes
    if call.excinfo is not None:
        outcomes[item.nodeid] = "failed"
    elif call.when == "call":
        outcomes.setdefault(item.nodeid, "passed")


def pytest_sessionfinish(session: pytest.Session) -> None:
    folder = session.config.getoption("--report")
    if folder is not None:
        session.config.stash[REPORT].write(folder)


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """Give the page on which a test notes what it found."""
    return request.config.stash[REPORT]


@pytest.fixture(scope="session")
def prometheus(report: Report) -> Binaries:
    """Give Prometheus and promtool, which `make test-real` has built."""
    try:
        programs = built()
    except NotBuiltError as missing:
        pytest.fail(str(missing), pytrace=False)
    report.ran("Prometheus (Go module)", VERSION)
    return programs


@pytest.fixture(scope="session")
def collector(report: Report) -> Path:
    """Give the Collector's program, which `make test-real` has built."""
    try:
        program = collector_build.collector()
    except collector_build.NotBuiltError as missing:
        pytest.fail(str(missing), pytrace=False)
    report.ran("OpenTelemetry Collector (Go modules)", collector_build.version())
    return program


@pytest.fixture(scope="session")
def zipkin_topic(kafka: str) -> Iterator[str]:
    """Give the topic that Zipkin reads."""
    topic = f"test_{uuid.uuid4().hex[:12]}_zipkin"
    create_topics(kafka, [topic])
    yield topic
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 4})
    admin.delete_topics([topic])[topic].result(REQUEST_TIMEOUT_S)


@pytest.fixture(scope="session")
def zipkin(
    kafka: str, zipkin_topic: str, report: Report, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Zipkin]:
    """Give a running Zipkin, which `make test-real` has fetched."""
    try:
        server = Zipkin(kafka, zipkin_topic, tmp_path_factory.mktemp("zipkin"))
    except NotFetchedError as missing:
        pytest.fail(str(missing), pytrace=False)
    try:
        server.wait()
        report.ran("Zipkin server and its web pages (Maven)", zipkin_server.VERSION)
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def chromium(report: Report) -> Chromium:
    """Give the browser that the system has."""
    try:
        browser = Chromium.on_this_machine()
    except NoBrowserError as missing:
        pytest.fail(str(missing), pytrace=False)
    report.ran("Chromium, without a window", browser.version())
    return browser


@pytest.fixture(scope="session")
def kafka(report: Report) -> Iterator[str]:
    """Give the bootstrap address of a real Kafka."""
    try:
        with running_broker(own=False) as broker:
            report.ran("Apache Kafka", kafka_version())
            yield broker.bootstrap
    except NoBrokerError as none:
        pytest.fail(str(none), pytrace=False)


@pytest.fixture
def topics(kafka: str) -> Iterator[Topics]:
    """Give four fresh topics of 8 partitions."""
    with topics_of_a_test(kafka) as fresh:
        yield fresh
