"""One kept trace as people see it: on Zipkin's page, and drawn by `tailstream show`."""

import os
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Final

from tests.harness.worker import COMMAND
from tests.real.chromium import Page
from tests.real.service_spans import ServiceSpan

COLUMNS: Final = 100
SHOW_TIMEOUT_S: Final = 120.0


def assert_zipkin_s_page_shows(page: Page, trace_id: str, spans: Collection[ServiceSpan]) -> None:
    """Its address is the trace's; it tells its id, how many spans it has, and names each."""
    page.wait_for_url(f"**/zipkin/traces/{trace_id}")
    page.wait_for_function("id => document.body.innerText.includes(id)", arg=trace_id)
    lines = page.inner_text("body").splitlines()
    assert lines[lines.index("Trace ID") + 1] == trace_id
    assert lines[lines.index("Total Spans") + 1] == f"{len(spans)}"
    assert {row_of(span) for span in spans} <= {*lines}


def row_of(span: ServiceSpan) -> str:
    """Return how Zipkin calls a span: it has all names in lower case."""
    return f"{span.service}: {span.span.name}".lower()


def drawn_by_show(trace_id: str, config: Path) -> str:
    """Return what `tailstream show` draws of a trace, by a worker's settings."""
    done = subprocess.run(
        [str(COMMAND), "show", trace_id, "--config", str(config)],
        env={**os.environ, "COLUMNS": f"{COLUMNS}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=SHOW_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
