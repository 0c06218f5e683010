"""Which core runs: the compiled one, or its pure-Python twin. Settled once, when a process starts.

The compiled modules are there where a C compiler was when this was installed. They and their twins
have different names, so that none can be taken for the other.
"""

import os
from importlib.util import find_spec
from typing import Final

PURE_VARIABLE: Final = "TAILSTREAM_PURE"
"""Set to anything but 0, it forces the twin."""

MODULES: Final = (
    "stream.otlp._scan",
    "stream.otlp._decodable",
    "stream.otlp._merge",
    "stream.sampling._decision",
    "stream.sampling._judge",
    "stream.sampling._offsets",
    "stream.sampling._bodies",
    "stream.sampling._rows",
    "stream.sampling._trace",
    "stream.sampling._delivery",
    "stream.sampling._fold",
    "stream.sampling._settle",
    "stream.sampling._stores",
    "stream.state._memory",
    "stream.kafka._receive",
    "stream.kafka._commit",
    "stream.worker._plan",
)

FORCED_PURE: Final = os.environ.get(PURE_VARIABLE, "") not in {"", "0"}
RUNS: Final = not FORCED_PURE and all(find_spec(module) is not None for module in MODULES)
"""Whether the compiled core runs. All of it or none of it."""


def core() -> str:
    """Return in words which core runs, and why if it is the slow one."""
    if RUNS:
        return "compiled"
    if FORCED_PURE:
        return f"pure Python ({PURE_VARIABLE} is set)"
    return "pure Python (the compiled one was not built; install again where a C compiler is)"
