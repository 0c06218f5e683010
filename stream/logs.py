"""Structured logging, set up once: for people on a terminal, JSON otherwise.

debug: for whoever changes this code. info: what a healthy worker does. warning: look at it today.
error: look at it now. critical: the process is about to end, and says why.
"""

import logging
import sys
from typing import Any

import structlog


def configure(level: str, form: str) -> None:
    """Send everything, the standard library's loggers included, to stderr in one form.

    `form`: `console`, `json`, or `auto` (console on a terminal).
    """
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderers: list[Any] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
        if console
        else [_tracebacks_without_locals(), structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Faust tells of its own start and stop at these levels; ours says the same in our words.
    # The services that we derive from Faust's log under our modules' names.
    for noisy in ("faust", "mode", "aiokafka", "aiohttp", "stream"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # A timer that finds the loop busy folding says so each time; lag is what tells of that.
    logging.getLogger("mode.timers").setLevel(logging.ERROR)


def _tracebacks_without_locals() -> Any:
    # Locals would put passwords and payloads into the logs.
    return structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )


def logger(name: str) -> Any:
    """Return a logger that takes a sentence and fields: `log.info("ready", partition=3)`."""
    return structlog.stdlib.get_logger(name)
