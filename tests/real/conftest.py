"""Fixtures of the tests against real counterparts.

What takes long to build is built by the make target, not here. A counterpart that cannot be had
fails its tests: they have a target of their own, and no run of it passes without them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.broker import NoBrokerError, running_broker
from tests.harness.kafka_jars import kafka_version
from tests.harness.topics import Topics, topics_of_a_test
from tests.real import collector_build
from tests.real.prometheus_build import VERSION, Binaries, NotBuiltError, built
from tests.real.report import Report

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
