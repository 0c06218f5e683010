"""Settings for all tests."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from stream import compiled
from tests.harness.recorded import Recorded, recorded_spans

# No test is timed, so no example is either. In CI a failure prints the blob that reproduces it.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say so where suites are left out: those of the compiled core, see tests/contract."""
    if not compiled.RUNS:
        left_out = "the suites that compare it with the compiled one are left out"
        terminalreporter.section(f"{compiled.core()}: {left_out}", yellow=True)


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Give an SDK that records the spans of our instrumentation."""
    with recorded_spans() as recorded:
        yield recorded
