"""`tailstream demo recall`: does the click from a latency spike land on a trace?"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from stream.cli.demo_stage import INTERRUPTED_CODE, ended_by_signals, own_topics, stage
from stream.cli.refused import ClusterRefused
from stream.clock import now_ms
from stream.demo.recall.arithmetic import lines, rows
from stream.demo.recall.checkout import Checkout
from stream.demo.recall.checkouts import Checkouts
from stream.demo.recall.prometheus import PROGRAM, exemplars_through, prometheus_program
from stream.demo.recall.steps import (
    Step,
    click_step,
    head_step,
    pins_step,
    shown_in,
    tail_step,
)
from stream.demo.recall.tail import METRICS, Ran, Tail, groups, run
from stream.demo.run import NotSettledError
from stream.demo.worker_process import WorkerFailedError
from stream.kafka.topics import ClusterError

CHECKOUTS = 10_000
CHECKOUTS_PER_S = 400.0
CHECKOUTS_MIN = 100
TUNED_MS, MISTUNED_MS = 1_000, 5_000
NS_PER_MS = 1_000_000


@click.command()
@click.option("--kafka", metavar="HOST:PORT", help="A real cluster; else an embedded broker.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Makes the same traffic again."
)
@click.option(
    "--checkouts", type=click.IntRange(min=CHECKOUTS_MIN), default=CHECKOUTS, show_default=True
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=CHECKOUTS_PER_S,
    show_default=True,
    help="Checkouts a second.",
)
def command(kafka: str | None, seed: int, checkouts: int, rate: float) -> None:
    """See that the click from a latency spike lands on a trace, step by step, in numbers.

    Of the shop's checkouts 0.3 % take 2 s (their times are made up: nobody waits) and 0.5 % fail.
    The same traffic meets a head sampler, a tail sampler, and a tail sampler whose policy is wrong
    while `tailstream exemplars` pins what the metrics point at. The exit code is 1 where a step
    does not hold.
    """
    made = list(Checkouts(seed=seed, count=checkouts, per_s=rate, start_ns=now_ms() * NS_PER_MS))
    try:
        faults = _play(kafka, made, rate)
    except ClusterError as problem:
        raise ClusterRefused(str(problem)) from None
    except (NotSettledError, WorkerFailedError, RuntimeError) as problem:
        raise click.ClickException(str(problem)) from None
    except KeyboardInterrupt:
        click.echo("Ended early: all processes are stopped, and their files are gone.", err=True)
        sys.exit(INTERRUPTED_CODE)
    if faults:
        raise click.ClickException("; ".join(faults))
    click.echo("Every step holds.")


def _play(kafka: str | None, made: Sequence[Checkout], rate: float) -> list[str]:
    with ended_by_signals(), tempfile.TemporaryDirectory(prefix="tailstream-recall-") as name:
        steps = [head_step(made)]
        _tell(steps[-1])
        tuned = _ran(kafka, made, TUNED_MS, Path(name, "tuned"), pins=False)
        steps.append(tail_step(made, tuned, TUNED_MS))
        _tell(steps[-1])
        pinned = _ran(kafka, made, MISTUNED_MS, Path(name, "mistuned"), pins=True)
        steps.append(pins_step(made, pinned, MISTUNED_MS))
        _tell(steps[-1])
        steps.append(_clicked(made, pinned, Path(name)))
        _tell(steps[-1])
    for line in lines(rows(made, rate, tuned)):
        click.echo(f"  {line}")
    return [f"({step.letter}) {fault}" for step in steps for fault in step.faults]


def _ran(
    kafka: str | None, made: Sequence[Checkout], slow_ms: int, directory: Path, *, pins: bool
) -> Ran:
    directory.mkdir()
    topics = own_topics(real=kafka is not None, others=[METRICS])
    with stage(kafka, topics, groups(topics) if pins else groups(topics)[:2]) as there:
        tail = Tail(
            bootstrap=there.address,
            topics=topics,
            # The embedded broker has no admin API to ask.
            check_topics=kafka is not None,
            delivery=there.delivery,
            slow_ms=slow_ms,
            pins=pins,
        )
        return run(tail, made, directory, lambda line: click.echo(line, err=True))


def _clicked(made: Sequence[Checkout], ran: Ran, directory: Path) -> Step:
    step = click_step(made, ran)
    program = prometheus_program()
    if program is None:
        step.found.append(
            f"left out: the same through Prometheus: none on the PATH, and {PROGRAM} names none"
        )
        return step
    wanted = {one.trace_id for one in shown_in(ran.application.openmetrics())}
    found = exemplars_through(program, ran.application.registry, wanted, directory)
    step.found.append(f"Prometheus's query_exemplars has {len(found & wanted)} of {len(wanted)}")
    if not wanted <= found:
        step.faults.append("Prometheus does not have every exemplar of the bucket")
    return step


def _tell(step: Step) -> None:
    click.echo(f"({step.letter}) {step.title}: {'fails' if step.faults else 'holds'}")
    for line in step.found:
        click.echo(f"    {line}")
    for fault in step.faults:
        click.echo(f"    FAULT: {fault}")
