"""Fixtures of the tests that need helm: `make test-kubernetes` brings it. Without it they fail."""

import pytest

from tests.harness.chart import helm


@pytest.fixture(scope="session")
def program() -> str:
    """Give the helm that is there."""
    found = helm()
    if found is None:
        pytest.fail("there is no helm here: `make test-kubernetes` builds one", pytrace=False)
    return found
