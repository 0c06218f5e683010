"""What others may see of a worker: the pages that it serves, the directory that it writes to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stream.app import create_app
from stream.settings.load import load

OURS = {"/livez", "/readyz", "/metrics"}


@contextmanager
def an_app(directory: Path) -> Iterator[Any]:
    settings = load(
        None, [f"storage.directory={directory}", "kafka.bootstrap.servers=127.0.0.1:1"], {}
    )
    app = create_app(settings)
    try:
        app.web.init_server()
        yield app
    finally:
        app.host.stopped()


def test_nobody_else_of_the_machine_may_read_the_spans_that_are_stored(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "below"
    with an_app(directory):
        assert directory.stat().st_mode & 0o077 == 0


def test_a_worker_serves_its_own_pages_and_none_of_faust_s_that_look_into_tables(
    tmp_path: Path,
) -> None:
    with an_app(tmp_path) as app:
        served = {resource.canonical for resource in app.web.web_app.router.resources()}

    assert served - {"/"} == OURS
