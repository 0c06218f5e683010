"""Settings for the simulator's tests."""

from collections.abc import Iterator

import pytest

from stream.worker import decision_log


@pytest.fixture(autouse=True)
def many_chunks_in_small_logs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decision_log, "CHUNK_RECORDS", 3)
        yield
