"""Runs an aiohttp application until the process is told to end."""

import asyncio
import signal
from collections.abc import Callable

from aiohttp import web

HOST = "127.0.0.1"
ENDING = (signal.SIGTERM, signal.SIGINT)


def serve(
    application: web.Application, port: int, ready: Callable[[int], None], *, host: str = HOST
) -> None:
    """Listen on this port, 0 for any; call `ready` with it; return after SIGTERM or SIGINT.

    Requests that are under way are answered first.

    Raises:
        OSError: the port cannot be had.
    """
    asyncio.run(_served(application, host, port, ready))


async def _served(
    application: web.Application, host: str, port: int, ready: Callable[[int], None]
) -> None:
    ended = asyncio.Event()
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        ready(runner.addresses[0][1])
        await ended.wait()
    finally:
        await runner.cleanup()
