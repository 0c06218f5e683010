"""`tailstream generate`: send made-up traces to Kafka."""

from collections.abc import Iterable

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stream.cli.options import settings_options
from stream.cli.refused import ClusterRefused
from stream.clock import monotonic_s, now_ms
from stream.demo.generator import NS_PER_S, Load
from stream.demo.pace import pace
from stream.demo.record import Record
from stream.demo.truth import Truth
from stream.kafka.load_producer import PARTITIONERS, LoadProducer
from stream.kafka.topics import ClusterError
from stream.settings.model import Settings

UNPACED_TRACES_PER_S = 1000.0
"""How dense the spans' own times are where the load is sent as fast as possible."""
LATE_MARGIN_S = 2.0
"""Late spans come this long after the window of their trace has closed."""
SHOW_EVERY = 500
SHOWN_PER_S = 10
FLUSH_S = 35.0
NS_PER_MS = 1_000_000
INTERRUPTED_CODE = 130

_SHARE = click.FloatRange(0, 1)


@click.command()
@click.option("--bootstrap", metavar="HOST:PORT", help="Instead of kafka.bootstrap.servers.")
@click.option("--topic", help="Instead of topics.input.")
@click.option(
    "--partitioner", type=click.Choice(sorted(PARTITIONERS)), help="Instead of topics.partitioner."
)
@click.option("--traces", type=click.IntRange(min=1), default=5000, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    default=250,
    show_default=True,
    help="Traces a second. 0: as fast as possible, late spans without waiting.",
)
@click.option("--errors", type=_SHARE, default=0.02, show_default=True, help="Share of traces.")
@click.option("--slow", type=_SHARE, default=0.01, show_default=True, help="Share over a second.")
@click.option(
    "--late",
    type=_SHARE,
    default=0.006,
    show_default=True,
    help="Share of traces with a late span.",
)
@click.option(
    "--late-after",
    type=click.FloatRange(min=0),
    help="Seconds from a trace to its late span.  [default: decision_wait + 2]",
)
@click.option(
    "--resent", type=_SHARE, default=0.002, show_default=True, help="Share of records sent twice."
)
@click.option(
    "--fragments",
    type=_SHARE,
    default=0.05,
    show_default=True,
    help="Share of records split in two, as when a batch ends within a trace.",
)
@click.option("--malformed", type=click.IntRange(min=0), default=3, show_default=True)
@click.option(
    "--seed",
    type=int,
    help="Makes the same trace ids again; a trace sent twice is a late one.  [default: new ids]",
)
@settings_options
def command(
    settings: Settings,
    bootstrap: str | None,
    topic: str | None,
    partitioner: str | None,
    **options: float,
) -> None:
    """Send made-up traces of a shop to the input topic, keyed as the Collector keys them.

    Shares are from 0 to 1. Ctrl-C ends early, with the same summary. The exit code is 1 where
    records could not be delivered.
    """
    load = _load(settings, options)
    kafka = {**settings.kafka, **({"bootstrap.servers": bootstrap} if bootstrap else {})}
    name = topic or settings.topics.input
    chosen = partitioner or settings.topics.partitioner
    try:
        with LoadProducer(kafka, name, partitioner=chosen) as producer:
            partitions = producer.check()
            code = _run(load, producer, partitions, paced=options["rate"] > 0)
    except ClusterError as problem:
        raise ClusterRefused(str(problem)) from None
    click.get_current_context().exit(code)


def _load(settings: Settings, options: dict[str, float]) -> Load:
    traces, rate = int(options["traces"]), options["rate"] or UNPACED_TRACES_PER_S
    started_ms = now_ms()
    # Spans must not end in the future: unpaced, they are all sent now.
    ahead_s = 0.0 if options["rate"] else traces / rate
    seed, late_after_s = options["seed"], options["late_after"]
    try:
        return Load(
            seed=started_ms if seed is None else int(seed),
            traces=traces,
            traces_per_s=rate,
            error_share=options["errors"],
            slow_share=options["slow"],
            late_share=options["late"],
            late_after_s=(
                settings.tail_sampling.decision_wait_s + LATE_MARGIN_S
                if late_after_s is None
                else late_after_s
            ),
            resent_share=options["resent"],
            split_share=options["fragments"],
            malformed=int(options["malformed"]),
            start_ns=started_ms * NS_PER_MS - int(ahead_s * NS_PER_S),
        )
    except ValueError as problem:
        raise click.UsageError(str(problem)) from None


def _run(load: Load, producer: LoadProducer, partitions: int, *, paced: bool) -> int:
    """Send the load, tell of it, and return the exit code."""
    console = Console()
    truth = Truth(keep_span_ids=False)
    started_s = monotonic_s()
    code = 0
    try:
        _send(console, load, producer, truth, paced=paced)
    except KeyboardInterrupt:
        code = INTERRUPTED_CODE
    left = producer.flush(FLUSH_S)
    took_s = monotonic_s() - started_s
    summary = _summary(load, producer, truth, partitions, took_s)
    console.print(summary, highlight=False, soft_wrap=True)
    if producer.failures or left:
        failures = ", ".join(f"{n:,} {name}" for name, n in producer.failures.most_common())
        waiting = f"{left:,} without an answer after {FLUSH_S:g} s" if left else ""
        told = "; ".join(filter(None, (failures, waiting, producer.problem)))
        click.echo(f"not delivered: {told}", err=True)
        return code or 1
    return code


def _send(
    console: Console, load: Load, producer: LoadProducer, truth: Truth, *, paced: bool
) -> None:
    records: Iterable[Record] = load.records()
    if paced:
        records = pace(records, producer.poll)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("traces   {task.fields[told]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(producer.topic, total=load.traces, told="")
        every = min(SHOW_EVERY, int(load.traces_per_s / SHOWN_PER_S) + 1) if paced else SHOW_EVERY
        for record in records:
            producer.send(record.key, record.value)
            truth.add(record)
            if truth.records % every == 0:
                failed = producer.failures.total()
                told = f"{producer.delivered:,} records delivered, {failed:,} failed"
                progress.update(task, completed=truth.traces, told=told)


def _summary(
    load: Load, producer: LoadProducer, truth: Truth, partitions: int, took_s: float
) -> str:
    rate = truth.spans / max(took_s, 1e-3)
    return (
        f"{truth.traces:,} of {load.traces:,} traces, {truth.spans:,} spans, "
        f"{truth.records:,} records to {producer.topic} ({partitions} partitions) "
        f"in {took_s:.1f} s: {rate:,.0f} spans/s, seed {load.seed}\n"
        f"{truth.error_traces:,} traces with an error, {truth.slow_traces:,} slow, "
        f"{truth.late_spans:,} late spans, {truth.resent_spans:,} resent spans, "
        f"{truth.malformed:,} malformed records\n"
        f"{producer.delivered:,} records delivered, {producer.failures.total():,} failed"
    )
