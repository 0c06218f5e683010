"""The pages that are served: which there are, and what whoever asks them can do."""

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


def test_a_worker_serves_its_own_pages_and_none_of_faust_s_that_look_into_tables(
    tmp_path: Path,
) -> None:
    with an_app(tmp_path) as app:
        served = {resource.canonical for resource in app.web.web_app.router.resources()}

    assert served - {"/"} == OURS
