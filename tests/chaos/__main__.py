"""`make chaos`: kill, stop, slow and rebalance, and account for every span."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from rich.console import Console

from tests.chaos import report
from tests.chaos.fleet import StuckError
from tests.chaos.run import Ran, Run
from tests.chaos.schedule import Kind
from tests.harness.broker import NoBrokerError, running_broker

MINUTES = 3.0
# A killed broker may register again only once its old session is over: 9 s by default. With less,
# some outages are shorter than a transaction's watchdog, and the workers live through them.
PROPERTIES = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}


def main() -> None:
    """Run, print, write; exit code 1 if a law broke."""
    args = _arguments()
    console = Console(highlight=False)
    home = Path(tempfile.mkdtemp(prefix="tailstream-chaos-"))
    ran = perform(home, minutes=args.minutes, seed=args.seed, console=console, only=args.only)
    report.show(ran, console)
    if args.report:
        report.write(ran, args.report)
    if ran.account.broken:
        console.print(f"FAILED with seed {args.seed}; what was said, by all: {home}", markup=False)
        sys.exit(1)
    if ran.hanging_transactions or ran.restarts_by_the_operator:
        console.print(f"what the broker held when a transaction hung: {home}", markup=False)
    else:
        shutil.rmtree(home)
    console.print(f"all laws hold (seed {args.seed})")


def perform(
    home: Path, *, minutes: float, seed: int, console: Console, only: Collection[Kind] = ()
) -> Ran:
    """Run on a broker of its own; all logs are below `home`, the schedule in `schedule.log`."""
    with (
        (home / "schedule.log").open("w", buffering=1) as schedule,
        running_broker(own=True, properties=PROPERTIES) as broker,
    ):

        def say(line: str) -> None:
            console.print(line, markup=False, soft_wrap=True)
            print(line, file=schedule)

        say(f"seed {seed}, {minutes:g} minutes, Kafka at {broker.bootstrap}, logs in {home}")
        run = Run(broker, home, minutes=minutes, seed=seed, say=say, only=only)
        try:
            return run.run()
        except StuckError as stuck:
            run.ran.account.broken.append(f"stuck: {stuck}")
            return run.ran
        finally:
            broker.save_log(home)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="at least so long")
    parser.add_argument("--seed", type=int, default=1, help="of the traffic and the faults")
    parser.add_argument("--report", type=Path, help="a file for everything, as JSON")
    kinds = parser.add_argument("--only", type=Kind, action="append", default=[])
    kinds.help = f"a kind of fault, may be repeated: {', '.join(Kind)}"
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except NoBrokerError as none:
        sys.exit(str(none))
