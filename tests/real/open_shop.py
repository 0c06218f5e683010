"""The demo's shop: its real, traced processes over HTTP and Kafka, and customers who time it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from confluent_kafka.admin import AdminClient

from stream.demo.shop.fate import Fates
from stream.demo.shop.processes import ServiceProcess
from stream.demo.shop.run import PATHS, Shop
from stream.demo.shop.service import Service
from stream.demo.shop.serving import HOST
from tests.harness.topics import REQUEST_TIMEOUT_S, Topics, create_topics

ANSWER_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Checkout:
    """What a customer knows of a checkout: its trace, by the gateway's answer, and how it went."""

    trace_id: str
    duration_s: float
    status: int


class OpenShop:
    """The running services. `url` takes checkouts."""

    def __init__(self, services: list[ServiceProcess]) -> None:
        self._services = services
        gateway = next(each for each in services if each.setup.service is Service.GATEWAY)
        self.url = f"http://{HOST}:{gateway.setup.port}{PATHS[Service.GATEWAY]}"

    def serve(
        self, numbers: Iterable[int], per_s: float, tell: Callable[[Checkout], None]
    ) -> list[Checkout]:
        """Send checkouts with these numbers, so many a second; tell of each when it is answered."""
        return asyncio.run(_customers(self.url, numbers, per_s, tell))

    def close_up(self) -> None:
        """End the services in order: then every span is in Kafka, as they count themselves."""
        accounts = [service.stop() for service in self._services]
        assert not any(account["dropped"] for account in accounts), accounts


@contextmanager
def open_shop(topics: Topics, directory: Path, fates: Fates) -> Iterator[OpenShop]:
    """Give the running shop; its spans go to the input topic."""
    checkouts = f"{topics.prefix}_checkouts"
    create_topics(topics.bootstrap, [checkouts], partitions=2)
    try:
        shop = Shop(
            bootstrap=topics.bootstrap,
            topics={"input": topics.input, "checkouts": checkouts},
            check_topics=False,
            requests=0,
            requests_per_s=1,
            fates=fates,
        )
        with ExitStack() as stack:
            started = [ServiceProcess(each, directory) for each in shop.setups()]
            services = [stack.enter_context(each) for each in started]
            for service in services:
                service.wait_until_ready()
            yield OpenShop(services)
    finally:
        admin = AdminClient({"bootstrap.servers": topics.bootstrap, "log_level": 4})
        for deleted in admin.delete_topics([checkouts]).values():
            deleted.result(REQUEST_TIMEOUT_S)


async def _customers(
    url: str, numbers: Iterable[int], per_s: float, tell: Callable[[Checkout], None]
) -> list[Checkout]:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
        tasks = []
        for position, number in enumerate(numbers):
            await asyncio.sleep(began_s + position / per_s - loop.time())
            tasks.append(group.create_task(_checkout(session, url, number, tell)))
    return [task.result() for task in tasks]


async def _checkout(
    session: aiohttp.ClientSession, url: str, number: int, tell: Callable[[Checkout], None]
) -> Checkout:
    began_s = time.monotonic()
    async with session.post(url, json={"number": number}) as answer:
        told = await answer.json()
    checkout = Checkout(told["trace_id"], time.monotonic() - began_s, answer.status)
    tell(checkout)
    return checkout
