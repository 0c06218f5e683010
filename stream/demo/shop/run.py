"""A run of the shop: the services, a worker, checkouts, and all that they leave in Kafka."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from stream.clock import monotonic_s
from stream.demo.run import NotSettledError, free_port
from stream.demo.shop.caller import checkouts
from stream.demo.shop.evidence import Evidence
from stream.demo.shop.fate import Fates
from stream.demo.shop.processes import ServiceProcess
from stream.demo.shop.service import CONSUMERS, HTTP_PATH, Service, Setup
from stream.demo.shop.serving import HOST
from stream.demo.worker_process import WorkerProcess
from stream.kafka.topic_reader import TopicReader

DECISION_WAIT_S = 4
REST_PERCENT = 10.0
REST_OF_HEAD = 0.5
CONSUME_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 60.0
READ_WAIT_S = 0.2
ERRORS, SLOW, CUT, REST = "errors", "slow", "cut", "rest"
PATHS = {Service.GATEWAY: "/checkout", Service.PAYMENT: "/charge", Service.PSP: "/authorise"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What to run: a Kafka that has the topics, the checkouts, and what is special about the run.

    `topics` by role: input, output, decisions, dead_letters, checkouts. `head_rate`: the share that
    the gateway keeps; `broken`: the service that samples every span anew.
    """

    bootstrap: str
    topics: Mapping[str, str]
    check_topics: bool
    requests: int
    requests_per_s: float
    fates: Fates
    head_rate: float | None = None
    broken: Service | None = None

    @property
    def rest_percent(self) -> float:
        """The share that the tail keeps of what is neither slow nor in error, of all requests.

        With a head sampler half of what that leaves, so that the tail has a choice to make.
        """
        return REST_PERCENT if self.head_rate is None else self.head_rate * 100 * REST_OF_HEAD

    def setups(self) -> list[Setup]:
        """Return what each service is told; ports are free ones."""
        ports = {service: free_port() for service in HTTP_PATH}
        urls = {each: f"http://{HOST}:{port}{PATHS[each]}" for each, port in ports.items()}
        calls = dict(pairwise(HTTP_PATH))
        return [
            Setup(
                service=service,
                bootstrap=self.bootstrap,
                spans_topic=self.topics["input"],
                checkouts_topic=self.topics["checkouts"],
                port=ports.get(service, 0),
                calls_url=urls[calls[service]] if service in calls else "",
                group=_group(self.topics, service),
                head_rate=self.head_rate,
                broken=service is self.broken,
                fates=self.fates,
            )
            for service in Service
        ]


def groups(topics: Mapping[str, str]) -> list[str]:
    """Return every consumer group of a run with these topics."""
    worker = topics["input"]
    return [worker, f"{worker}-position", *(_group(topics, each) for each in CONSUMERS)]


def worker_settings(
    bootstrap: str, topics: Mapping[str, str], policies: list[dict[str, Any]], *, delivery: str
) -> dict[str, Any]:
    """Return the worker's settings as its file holds them, without its directory."""
    return {
        "kafka": {"bootstrap.servers": bootstrap},
        "worker": {"group": topics["input"], "delivery": delivery},
        "topics": {role: name for role, name in topics.items() if role != "checkouts"},
        "tail_sampling": {"decision_wait": f"{DECISION_WAIT_S}s", "policies": policies},
        "web": {"port": free_port()},
        "log": {"format": "json"},
    }


def policies(shop: Shop) -> list[dict[str, Any]]:
    """Return the worker's policies: cut traces, errors, slow ones, and a share of the rest.

    The share is chosen by the trace's randomness, so that it agrees with the head sampler's.
    """
    share = {"sampling_percentage": shop.rest_percent, "mode": "trace_state"}
    slow_ms = round(shop.fates.slow_s * 500)
    return [
        {"name": CUT, "type": "completeness"},
        {"name": ERRORS, "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        {"name": SLOW, "type": "latency", "latency": {"threshold_ms": slow_ms}},
        {"name": REST, "type": "probabilistic", "probabilistic": share},
    ]


def run(
    shop: Shop, settings: dict[str, Any], directory: Path, tell: Callable[[str], None]
) -> Evidence:
    """Send the checkouts, wait until every span is decided on, and return what was left in Kafka.

    Raises:
        ServiceFailedError: a service did not start, or ended.
        WorkerFailedError: the worker ended.
        NotSettledError: not every span was decided on in time.
    """
    evidence = Evidence(shop.topics)
    kafka = {"bootstrap.servers": shop.bootstrap}
    storage = {"directory": str(directory / "data")}
    with ExitStack() as stack:
        enter = stack.enter_context
        reader = enter(TopicReader(kafka, list(shop.topics.values())))
        worker = enter(
            WorkerProcess(
                {**settings, "storage": storage}, directory, check_topics=shop.check_topics
            )
        )
        services = [enter(ServiceProcess(setup, directory)) for setup in shop.setups()]
        for service in services:
            service.wait_until_ready()
        evidence.replies += _called(shop, services, tell)
        for _ in _read(reader, evidence, CONSUME_TIMEOUT_S):
            _check(worker, *services)
            if evidence.consumed:
                break
        for service in services:
            evidence.add_account(service.stop())
        tell("waiting for the worker's decisions")
        for _ in _read(reader, evidence, SETTLE_TIMEOUT_S):
            _check(worker)
            if evidence.settled:
                return evidence
    raise NotSettledError(f"not all spans were decided on in {SETTLE_TIMEOUT_S:g} s")


def _group(topics: Mapping[str, str], service: Service) -> str:
    return f"{topics['checkouts']}_{service}"


def _called(shop: Shop, services: list[ServiceProcess], tell: Callable[[str], None]) -> list[Any]:
    (port,) = (each.setup.port for each in services if each.setup.service is Service.GATEWAY)
    url = f"http://{HOST}:{port}{PATHS[Service.GATEWAY]}"

    async def called() -> list[Any]:
        tell(f"sending {shop.requests:,} checkouts, {shop.requests_per_s:g} a second")
        return await checkouts(url, shop.fates, shop.requests, shop.requests_per_s)

    return asyncio.run(called())


def _check(*processes: WorkerProcess | ServiceProcess) -> None:
    for process in processes:
        process.check()


def _read(reader: TopicReader, evidence: Evidence, timeout_s: float) -> Iterator[None]:
    """Take what comes, for so long at most; yield now and then."""
    until_s = monotonic_s() + timeout_s
    while monotonic_s() < until_s:
        for record in reader.read(READ_WAIT_S):
            evidence.add(record)
        yield
