"""A scanner that certain records kill, and the worker that has it.

`python -m tests.harness.deadly_scan <settings file>` is `tailstream worker` with this scanner.
"""

import os
import sys
import time
from pathlib import Path

from stream.cli.worker import run
from stream.otlp import scan as real
from stream.otlp.fragment import Scanned
from stream.otlp.scan import ScanPlan

ABORTS = b"deadly:abort"
RAISES = b"deadly:raise"
HANGS = b"deadly:hang"
FILLS_MEMORY = b"deadly:memory"
ABORTS_ONCE = b"deadly:once:"
"""The path of a file follows, which is there from then on."""


def scan(value: bytes, plan: ScanPlan) -> Scanned:
    """Scan as the real one does, unless the record says how to die of it."""
    if ABORTS in value:
        os.abort()
    if RAISES in value:
        raise ValueError("the scanner's own bug")
    if value.startswith(ABORTS_ONCE):
        died = Path(value.removeprefix(ABORTS_ONCE).decode())
        if not died.exists():
            died.touch()
            os.abort()
    while HANGS in value:
        time.sleep(1)
    if FILLS_MEMORY in value:
        bytearray(3 << 30)  # untouched, it costs no memory, but it is above the limit
    return real.scan(value, plan)


def main() -> None:
    """Run the worker."""
    from stream.app import start_app  # noqa: PLC0415 - Faust takes a second: not in the child
    from stream.settings.environment import environment  # noqa: PLC0415 - as above
    from stream.settings.load import load  # noqa: PLC0415 - as above

    run(start_app(load(Path(sys.argv[1]), (), environment()), scan=scan))


if __name__ == "__main__":
    # Under its own name: the child that examines records imports the scanner by it.
    from tests.harness import deadly_scan

    deadly_scan.main()
