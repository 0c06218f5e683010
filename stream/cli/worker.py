"""`tailstream worker`: run a worker until it is told to stop."""

import os
import signal
import sys
from typing import Any, NoReturn

import click

from stream import logs
from stream.cli.options import settings_options, topic_check_option
from stream.settings.model import Settings


@click.command()
@topic_check_option
@settings_options
def command(settings: Settings, *, without_topic_check: bool) -> None:
    """Run a worker: read spans, decide on traces, republish those that matter.

    Ends on SIGTERM or SIGINT within seconds, everything committed. Exit codes: 0 clean, 2 an
    operator's mistake, 3 fenced (two workers in one slot), 70 a bug, 71 a transaction hung or the
    broker went away.
    """
    # Until Faust's own handlers stand, nothing is under way that would have to be ended.
    for early in (signal.SIGTERM, signal.SIGINT):
        signal.signal(early, _end)
    # Imported here: Faust takes a second, which the other commands need not wait for.
    from stream.app import start_app  # noqa: PLC0415 - see above

    run(start_app(settings, check_topics=not without_topic_check))


def run(app: Any) -> NoReturn:
    """Run a worker's app, and end the process with it."""
    import faust  # noqa: PLC0415 - see above

    log = logs.logger("tailstream")
    worker = faust.Worker(
        app, quiet=True, loglevel=None, redirect_stdouts=False, override_logging=False
    )
    # Faust would draw on stdout, terminal or not.
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        log.info("stopped", exit_code=code)
        sys.stdout.flush()
        sys.stderr.flush()
        # Without waiting for threads that may hang in librdkafka.
        os._exit(code)
    raise AssertionError("Faust's worker ends by SystemExit")


def _end(*_: Any) -> None:
    os._exit(0)
