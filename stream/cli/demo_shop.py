"""`tailstream demo shop`: trace context on every hop of a small shop, over HTTP and Kafka."""

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import click
from rich.console import Console

from stream.cli.demo_stage import INTERRUPTED_CODE, Stage, ended_by_signals, own_topics, stage
from stream.cli.refused import ClusterRefused
from stream.demo.run import NotSettledError
from stream.demo.shop.fate import Fates
from stream.demo.shop.findings import findings
from stream.demo.shop.processes import ServiceFailedError
from stream.demo.shop.report import example_of, report
from stream.demo.shop.run import Shop, groups, policies, run, worker_settings
from stream.demo.shop.service import Service
from stream.demo.worker_process import WorkerFailedError
from stream.kafka.topics import ClusterError

CHECKOUTS = "checkouts"
REQUESTS = 300
REQUESTS_PER_S = 40.0
HEAD_RATE_MIN = 0.0001


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    kafka: str | None
    requests: int
    rate: float
    slow_s: float
    seed: int
    head_rate: float | None
    broken: str | None
    keep: bool


@click.command()
@click.option("--kafka", metavar="HOST:PORT", help="A real cluster; else an embedded broker.")
@click.option("--requests", type=click.IntRange(min=1), default=REQUESTS, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=REQUESTS_PER_S,
    show_default=True,
    help="Checkouts a second.",
)
@click.option(
    "--slow-s",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="Seconds that a slow checkout takes; from half of it on a trace is slow.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Which of them fail.")
@click.option(
    "--head-rate",
    type=click.FloatRange(HEAD_RATE_MIN, 1),
    help="Share of the traces that the gateway keeps at their head.  [default: all]",
)
@click.option(
    "--broken",
    type=click.Choice([Service.PAYMENT.value, Service.PSP.value]),
    help="This service samples each of its spans anew: see how that shows.",
)
@click.option("--keep", is_flag=True, help="Leave the topics on the cluster, to look at.")
def command(**options: Any) -> None:
    """See trace context on every hop of a small shop, over HTTP and Kafka.

    Gateway, payment and PSP answer over HTTP, ledger and shipping read Kafka; each is a process
    with an OpenTelemetry SDK of its own, and a worker samples their traces. It shows one checkout
    hop by hop, then counts: unbroken trees, linked hops, orphans, what was kept. The exit code is 1
    where one is not as it should be.
    """
    _play(_Options(**options))


def _play(options: _Options) -> None:
    console = Console(highlight=False)
    if options.keep and options.kafka is None:
        raise click.UsageError("--keep needs a real cluster, --kafka HOST:PORT")
    topics = own_topics(real=options.kafka is not None, others=[CHECKOUTS])
    try:
        with (
            ended_by_signals(),
            tempfile.TemporaryDirectory(prefix="tailstream-shop-") as name,
            stage(options.kafka, topics, groups(topics), keep=options.keep) as there,
        ):
            shop = _shop(options, topics, there)
            settings = worker_settings(
                there.address, topics, policies(shop), delivery=there.delivery
            )
            evidence = run(shop, settings, Path(name), lambda line: click.echo(line, err=True))
    except ClusterError as problem:
        raise ClusterRefused(str(problem)) from None
    except (
        aiohttp.ClientError,
        NotSettledError,
        ServiceFailedError,
        WorkerFailedError,
        RuntimeError,
    ) as problem:
        raise click.ClickException(str(problem)) from None
    except KeyboardInterrupt:
        click.echo("Ended early: all processes are stopped, and their files are gone.", err=True)
        sys.exit(INTERRUPTED_CODE)
    found = findings(evidence, shop)
    end = _end(options, example_of(evidence, found, shop), shop)
    console.print(report(evidence, found, shop, end=end), soft_wrap=True)
    if found.faults:
        raise click.ClickException("; ".join(found.faults))


def _shop(options: _Options, topics: Mapping[str, str], there: Stage) -> Shop:
    return Shop(
        bootstrap=there.address,
        topics=topics,
        # The embedded broker has no admin API to ask.
        check_topics=options.kafka is not None,
        requests=options.requests,
        requests_per_s=options.rate,
        fates=Fates(seed=options.seed, slow_s=options.slow_s),
        head_rate=options.head_rate,
        broken=None if options.broken is None else Service(options.broken),
    )


def _end(options: _Options, trace_id: str | None, shop: Shop) -> str:
    if not options.keep:
        where = "Its topics are gone. " if options.kafka else ""
        return f"{where}To draw traces yourself: --kafka HOST:PORT --keep, then tailstream show"
    sets = {"kafka.bootstrap.servers": shop.bootstrap}
    sets |= {f"topics.{role}": shop.topics[role] for role in ("input", "output", "decisions")}
    words = " ".join(f"--set {name}={value}" for name, value in sets.items())
    left = ", ".join(shop.topics.values())
    return (
        f"Draw it:  tailstream show {trace_id or 'TRACE_ID'} {words}\nLeft on the cluster: {left}"
    )
