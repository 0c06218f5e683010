"""What a worker does again and again: transactions, promotions, the wall clock, gauges."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from stream import clock
from stream.host import Host
from stream.lookout import Lookout
from stream.poison.watch import LOOK_EVERY_S, ScanWatch
from stream.promoting import Promoting

IDLE_INTERVAL_S = 0.25
MEASURE_INTERVAL_S = 1.0


def add_timers(
    app: Any,
    host: Host,
    promoting: Promoting,
    commit_interval_s: float,
    lookout: Lookout | None = None,
) -> None:
    """Add them to a Faust app; whatever one of them raises ends the process."""
    watch = ScanWatch(lambda: host.receiver.scans)

    async def look() -> None:
        watch.look()

    _add_commits(app, host, promoting, commit_interval_s)
    every: tuple[tuple[float, Callable[[], Any]], ...] = (
        (min(IDLE_INTERVAL_S, commit_interval_s), host.idle),
        (MEASURE_INTERVAL_S, host.measure),
        (LOOK_EVERY_S, look),
        *(lookout.looks() if lookout else ()),
    )
    for interval_s, act in every:
        app.timer(interval_s)(_guarded(act, host))


def _add_commits(app: Any, host: Host, promoting: Promoting, interval_s: float) -> None:
    commits = alternating(
        _guarded(host.commit, host),
        _guarded(promoting.round, host),
        interval_s=interval_s,
        sleep=app.sleep,
        begin=app.add_future,
        is_over=lambda: bool(app.should_stop),
    )
    app.task()(commits)


def alternating(
    commit: Callable[[], Awaitable[None]],
    promote: Callable[[], Awaitable[None]],
    *,
    interval_s: float,
    sleep: Callable[[float], Awaitable[None]],
    begin: Callable[[Awaitable[None]], "asyncio.Future[None]"],
    is_over: Callable[[], bool],
) -> Callable[[], Awaitable[None]]:
    """Return what commits every `interval_s`, and looks for promotions after each commit.

    The interval counts from one commit's beginning to the next one's; a timer of Faust's counts
    from the last one's end. A round of promotions takes as long as it takes, beside the commits,
    but begins between two of them: what a transaction under way will say of a trace must be known
    first. By a clock of its own it would miss the gaps where commits follow each other closely.
    """

    async def commits() -> None:
        wait_s = interval_s
        rounds: asyncio.Future[None] | None = None
        while not is_over():
            await sleep(wait_s)
            began_s = clock.monotonic_s()
            await commit()
            if rounds is None or rounds.done():
                # It looks what there is to read before the next commit begins, however soon.
                rounds = begin(promote())
            wait_s = max(0.0, began_s + interval_s - clock.monotonic_s())

    return commits


def _guarded(act: Callable[[], Any], host: Host) -> Callable[[], Any]:
    async def timer() -> None:
        try:
            await act()
        except Exception as problem:  # noqa: BLE001 - our bug: replay
            host.failed(problem)

    timer.__name__ = act.__name__
    return timer
