"""Settings for the simulator's tests."""

from collections.abc import Iterator

import pytest

from tests.simulation.shape import small_sizes


@pytest.fixture(autouse=True)
def much_in_short_logs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        small_sizes(patched)
        yield
