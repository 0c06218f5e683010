"""Fixtures of the tests that need helm: `make test-kubernetes` brings it. Without it they fail."""

from pathlib import Path

import pytest

from tests.harness import chart
from tests.kubernetes.helm import Helm


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """Give the helm that is there."""
    found = chart.helm()
    if found is None:
        pytest.fail("there is no helm here: `make test-kubernetes` builds one", pytrace=False)
    return Helm(found, tmp_path)
