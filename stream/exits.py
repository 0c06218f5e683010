"""How the process ends: exit codes that a supervisor can tell apart."""

import logging
import os
import sys
from enum import IntEnum
from typing import NoReturn

from stream import logs

log = logs.logger("tailstream")


class Exit(IntEnum):
    """Exit codes of `tailstream`."""

    CLEAN = 0
    OPERATOR = 2
    FENCED = 3
    BUG = 70
    WATCHDOG = 71


def end_process(
    code: Exit, why: str, *, remedy: str = "", problem: BaseException | None = None
) -> NoReturn:
    """End at once, without waiting for threads that may hang in librdkafka."""
    more = {"remedy": remedy} if remedy else {}
    log.critical(why, exit_code=int(code), exc_info=problem, **more)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
