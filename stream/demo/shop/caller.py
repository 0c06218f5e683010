"""The shop's customers: they send the checkouts, at an even pace, and take the answers."""

import asyncio

import aiohttp

from stream.demo.shop.evidence import Reply
from stream.demo.shop.fate import Fates

ANSWER_TIMEOUT_S = 60.0


async def checkouts(url: str, fates: Fates, count: int, per_s: float) -> list[Reply]:
    """POST the checkouts number 0 to `count` - 1, so many a second; return the answers in order.

    Raises:
        aiohttp.ClientError: the gateway does not answer.
    """
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        made: list[asyncio.Task[Reply]] = []
        try:
            for number in range(count):
                await asyncio.sleep(began_s + number / per_s - loop.time())
                made.append(asyncio.create_task(_checkout(session, url, fates, number)))
            return await asyncio.gather(*made)
        finally:
            # Whoever is told to end may find the services gone: nobody else asks how these ended.
            for task in made:
                task.cancel()
            await asyncio.gather(*made, return_exceptions=True)


async def _checkout(session: aiohttp.ClientSession, url: str, fates: Fates, number: int) -> Reply:
    async with session.post(url, json={"number": number}) as answer:
        told = await answer.json()
        return Reply(number, fates.of(number), answer.status, told["trace_id"], told["sampled"])
