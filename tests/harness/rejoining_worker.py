"""A worker that leaves the group and joins it anew whenever it is told to, whatever it is doing.

`python -m tests.harness.rejoining_worker <settings file>` is `tailstream worker` with this signal.
"""

import signal
import sys
from pathlib import Path

from stream.app import start_app
from stream.cli.worker import run
from stream.settings.environment import environment
from stream.settings.load import load

REJOIN = signal.Signals(signal.SIGRTMIN)
"""Not one of those that Faust answers by itself."""


def main() -> None:
    """Run the worker."""
    app = start_app(load(Path(sys.argv[1]), (), environment()))

    def rejoin(*_: object) -> None:
        if app.host.thread is not None:
            app.host.thread.rejoin()

    signal.signal(REJOIN, rejoin)
    run(app)


if __name__ == "__main__":
    main()
