"""Structured logging, set up once: for people on a terminal, JSON otherwise.

debug: for whoever changes this code. info: what a healthy worker does. warning: look at it today.
error: look at it now. critical: the process is about to end, and says why.
"""

import logging.config
import sys
from typing import Any

import structlog

# Faust tells of its own start and stop at these levels; ours says the same in our words. The
# services that we derive from Faust's log under our modules' names, so `stream` is among them. A
# timer that finds the loop busy folding says so each time; lag is what tells of that.
QUIET = {
    "faust": "WARNING",
    "mode": "WARNING",
    "mode.timers": "ERROR",
    "aiokafka": "WARNING",
    "aiohttp": "WARNING",
    "stream": "WARNING",
}


def configure(level: str, form: str) -> None:
    """Send everything, the standard library's loggers included, to stderr in one form.

    `form`: `console`, `json`, or `auto` (console on a terminal).
    """
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(config(level, form))


def config(level: str, form: str) -> dict[str, Any]:
    """Return the standard library's part as its dictConfig takes it; Faust wants it so, too."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"ours": {"()": _formatter, "form": form}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": "ours",
            }
        },
        "loggers": {name: {"level": quiet} for name, quiet in QUIET.items()},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
    }


def logger(name: str) -> Any:
    """Return a logger that takes a sentence and fields: `log.info("ready", partition=3)`."""
    return structlog.stdlib.get_logger(name)


def _shared() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _formatter(form: str) -> logging.Formatter:
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderers = _for_people() if console else _for_machines()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )


# Neither shows the locals of a traceback's frames: they hold passwords and payloads.


def _for_people() -> list[Any]:
    plain = structlog.dev.plain_traceback
    colors = sys.stderr.isatty()
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]


def _for_machines() -> list[Any]:
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer()]
