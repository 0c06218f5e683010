"""What a worker does again and again: transactions, promotions, the wall clock, gauges."""

from collections.abc import Callable
from typing import Any

from stream import clock
from stream.host import Host
from stream.poison.watch import LOOK_EVERY_S, ScanWatch
from stream.promoting import Promoting

IDLE_INTERVAL_S = 0.25
MEASURE_INTERVAL_S = 1.0


def add_timers(app: Any, host: Host, promoting: Promoting, commit_interval_s: float) -> None:
    """Add them to a Faust app; whatever one of them raises ends the process."""
    watch = ScanWatch(lambda: host.receiver.scans)

    async def look() -> None:
        watch.look()

    _add_commits(app, host, commit_interval_s)
    _add_rounds(app, host, promoting, commit_interval_s)
    every: tuple[tuple[float, Callable[[], Any]], ...] = (
        (min(IDLE_INTERVAL_S, commit_interval_s), host.idle),
        (MEASURE_INTERVAL_S, host.measure),
        (LOOK_EVERY_S, look),
    )
    for interval_s, act in every:
        app.timer(interval_s)(_guarded(act, host))


def _add_commits(app: Any, host: Host, interval_s: float) -> None:
    """Begin a transaction every `interval_s`; a timer of Faust's counts from the last one's end."""
    commit = _guarded(host.commit, host)

    async def commits() -> None:
        wait_s = interval_s
        while not app.should_stop:
            await app.sleep(wait_s)
            began_s = clock.monotonic_s()
            await commit()
            wait_s = max(0.0, began_s + interval_s - clock.monotonic_s())

    app.task()(commits)


def _add_rounds(app: Any, host: Host, promoting: Promoting, interval_s: float) -> None:
    """Look for promotions every `interval_s`; a round takes as long as it takes."""
    promote = _guarded(promoting.round, host)

    async def rounds() -> None:
        while not app.should_stop:
            await app.sleep(interval_s)
            await promote()

    app.task()(rounds)


def _guarded(act: Callable[[], Any], host: Host) -> Callable[[], Any]:
    async def timer() -> None:
        try:
            await act()
        except Exception as problem:  # noqa: BLE001 - our bug: replay
            host.failed(problem)

    timer.__name__ = act.__name__
    return timer
