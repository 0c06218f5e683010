"""Fixtures of the tests against real counterparts. What they need is built by `make`, not here."""

from collections.abc import Iterator

import pytest

from tests.harness.broker import NoBrokerError, running_broker
from tests.real.prometheus_build import Binaries, NotBuiltError, built


@pytest.fixture(scope="session")
def prometheus() -> Binaries:
    """Give Prometheus and promtool where `make test-dashboards` has built them; else skip."""
    try:
        return built()
    except NotBuiltError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Give the bootstrap address of a real Kafka."""
    try:
        with running_broker(own=False) as broker:
            yield broker.bootstrap
    except NoBrokerError as none:
        pytest.fail(str(none), pytrace=False)
