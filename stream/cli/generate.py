"""`tailstream generate`: send made-up traces to Kafka."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import click
from rich.console import Console
from rich.progress import TimeRemainingColumn

from stream.cli.options import settings_options
from stream.cli.refused import ClusterRefused
from stream.clock import monotonic_s, now_ms
from stream.demo.generator import NS_PER_S, SPREAD_S, Load
from stream.demo.pace import pace
from stream.demo.progress import TracesProgress
from stream.demo.record import Record
from stream.demo.truth import Truth
from stream.demo.words import amount
from stream.kafka.load_producer import PARTITIONERS, LoadProducer
from stream.kafka.topics import ClusterError
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings

UNPACED_TRACES_PER_S = 1000.0
"""How dense the spans' own times are where the load is sent as fast as possible."""
LATE_MARGIN_S = 2.0
"""Late spans come this long after the window of their trace has closed."""
MALFORMED = 3
SHOW_EVERY = 500
SHOWN_PER_S = 10
FLUSH_S = 35.0
LATE_SPREAD_S = 1.0
"""Late spans come up to this much later than they are told to."""
WAIT_TOLD_S = 1.0
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
    help="Seconds from a trace to its late span: so long the command goes on after the last trace."
    "  [default: decision_wait + 2]",
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
@click.option(
    "--malformed",
    type=click.IntRange(min=0),
    help="Records that no reader can use, at most one a trace.  [default: 3, or traces]",
)
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

    Shares are from 0 to 1. After the last trace it waits for the late spans; `--late 0` saves
    that. Ctrl-C ends early, with the same summary. The exit code is 1 where records could not be
    delivered.
    """
    check_key_files(settings.kafka)
    load = _load(settings, options)
    kafka = {**settings.kafka, **({"bootstrap.servers": bootstrap} if bootstrap else {})}
    name = topic or settings.topics.input
    chosen = partitioner or settings.topics.partitioner
    try:
        with LoadProducer(kafka, name, partitioner=chosen) as producer:
            partitions = producer.check()
            sending = _Sending(
                load,
                producer,
                paced=options["rate"] > 0,
                late=options["rate"] > 0 and load.late_after_s > _window_s(settings),
            )
            code = _run(sending, partitions)
    except ClusterError as problem:
        raise ClusterRefused(str(problem)) from None
    click.get_current_context().exit(code)


def _load(settings: Settings, options: dict[str, float]) -> Load:
    traces, rate = int(options["traces"]), options["rate"] or UNPACED_TRACES_PER_S
    started_ms = now_ms()
    # Spans must not end in the future: unpaced, they are all sent now.
    ahead_s = 0.0 if options["rate"] else traces / rate
    seed, late_after_s, malformed = (options[name] for name in ("seed", "late_after", "malformed"))
    try:
        return Load(
            seed=started_ms if seed is None else int(seed),
            traces=traces,
            traces_per_s=rate,
            error_share=options["errors"],
            slow_share=options["slow"],
            late_share=options["late"],
            late_after_s=(
                _window_s(settings) + LATE_MARGIN_S if late_after_s is None else late_after_s
            ),
            resent_share=options["resent"],
            split_share=options["fragments"],
            malformed=min(MALFORMED, traces) if malformed is None else int(malformed),
            start_ns=started_ms * NS_PER_MS - int(ahead_s * NS_PER_S),
        )
    except ValueError as problem:
        raise click.UsageError(str(problem)) from None


def _window_s(settings: Settings) -> float:
    return settings.tail_sampling.decision_wait_s


@dataclass(slots=True)
class _Sending:
    """A load on its way. `paced`: at its rate; `late`: its late spans come after the window."""

    load: Load
    producer: LoadProducer
    paced: bool
    late: bool
    truth: Truth = field(default_factory=lambda: Truth(keep_span_ids=False))
    started_s: float = field(default_factory=monotonic_s)
    took_s: float = 0.0
    """How long the traces took, without their late spans; 0.0 while they are sent."""
    spans: int = 0
    """Spans sent in that time."""

    def all_traces_sent(self) -> None:
        """Note the time, unless it is noted."""
        if not self.took_s:
            self.took_s = monotonic_s() - self.started_s
            self.spans = self.truth.spans


def _run(sending: _Sending, partitions: int) -> int:
    """Send the load, tell of it, and return the exit code."""
    console = Console()
    producer = sending.producer
    code = 0
    try:
        _send(console, sending)
    except KeyboardInterrupt:
        code = INTERRUPTED_CODE
    left = producer.flush(FLUSH_S)
    waited_s = monotonic_s() - sending.started_s - sending.took_s if sending.took_s else 0.0
    sending.all_traces_sent()
    console.print(_summary(sending, partitions, waited_s), highlight=False, soft_wrap=True)
    if producer.failures or left:
        failures = ", ".join(f"{n:,} {name}" for name, n in producer.failures.most_common())
        waiting = f"{left:,} without an answer after {FLUSH_S:g} s" if left else ""
        told = "; ".join(filter(None, (failures, waiting, producer.problem)))
        click.echo(f"not delivered: {told}", err=True)
        return code or 1
    return code


def _send(console: Console, sending: _Sending) -> None:
    load, producer, truth = sending.load, sending.producer, sending.truth
    off = not console.is_terminal
    with TracesProgress(console, clock=TimeRemainingColumn(), disable=off) as progress:
        task = progress.add_task(producer.topic, total=load.traces, told="")

        def waits(seconds: float) -> None:
            sending.all_traces_sent()
            progress.update(task, completed=truth.traces)
            told = (
                f"All traces are sent. Up to {seconds:.0f} s more for late spans; Ctrl-C ends it."
            )
            progress.console.print(told, highlight=False, soft_wrap=True)

        records: Iterable[Record] = load.records()
        if sending.paced:
            records = pace(_telling_of_the_wait(records, load, waits), producer.poll)
        every = SHOW_EVERY
        if sending.paced:
            every = min(every, int(load.traces_per_s / SHOWN_PER_S) + 1)
        for record in records:
            producer.send(record.key, record.value)
            truth.add(record)
            if truth.records % every == 0:
                failed = producer.failures.total()
                told = f"{producer.delivered:,} records delivered, {failed:,} failed"
                progress.update(task, completed=truth.traces, told=told)


def _telling_of_the_wait(
    records: Iterable[Record], load: Load, waits: Callable[[float], None]
) -> Iterator[Record]:
    """Yield the records; when only late spans are left, call `waits` with the seconds at most."""
    all_sent_s = load.traces / load.traces_per_s + SPREAD_S
    end_s = load.traces / load.traces_per_s + load.late_after_s + LATE_SPREAD_S
    told = end_s - all_sent_s <= WAIT_TOLD_S
    for record in records:
        if not told and record.at_s > all_sent_s:
            told = True
            waits(end_s - all_sent_s)
        yield record


def _summary(sending: _Sending, partitions: int, waited_s: float) -> str:
    load, truth, producer = sending.load, sending.truth, sending.producer
    rate = sending.spans / max(sending.took_s, 1e-3)
    waited = f", then {waited_s:.1f} s for late spans" if waited_s >= WAIT_TOLD_S else ""
    late = amount(truth.late_spans, "late span")
    if truth.late_spans and not sending.late:
        late = f"up to {late} (sent without waiting for the window to close)"
    return (
        f"{truth.traces:,} of {amount(load.traces, 'trace')}, {amount(truth.spans, 'span')}, "
        f"{amount(truth.records, 'record')} to {producer.topic} "
        f"({amount(partitions, 'partition')}), seed {load.seed}\n"
        f"{rate:,.0f} spans/s for {sending.took_s:.1f} s{waited}\n"
        f"{amount(truth.error_traces, 'trace')} with an error, {truth.slow_traces:,} slow, "
        f"{late}, {amount(truth.resent_spans, 'resent span')}, "
        f"{amount(truth.malformed, 'malformed record')}\n"
        f"{amount(producer.delivered, 'record')} delivered, {producer.failures.total():,} failed"
    )
