"""`tailstream decide`: try policies on traces in files, without Kafka."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.cli.options import settings_options
from stream.decide import Decided, Decisions, decide
from stream.otlp.trace_files import messages
from stream.otlp.wire import Malformed
from stream.printable import printable
from stream.sampling.decision import Vote
from stream.settings.model import Settings

PIPED_WIDTH = 120


_TOLD = frozenset({Vote.SAMPLED, Vote.DROPPED, Vote.ERROR})


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One line a trace, for programs.")
@click.argument("traces", nargs=-1, required=True, metavar="TRACES...")
@settings_options
def command(settings: Settings, traces: tuple[str, ...], *, as_json: bool) -> None:
    """Try the policies on traces in files (`-`: standard input).

    TRACES are what the Collector's file exporter writes, OTLP/JSON lines or length-prefixed
    protobuf, or OTLP/JSON over several lines, or one bare OTLP protobuf message. All traces are
    decided as if they had come at one instant, by the worker's own core. Exit codes: 0 decided
    (what cannot be read within a file is told on stderr), 1 a file cannot be read, 2 an operator's
    mistake.
    """
    decided = decide(settings, _messages(traces))
    if as_json:
        for trace in decided.traces:
            click.echo(json.dumps(_line(trace)))
    else:
        _print(decided)
    undecided: Counter[str] = Counter()
    for bad in decided.bad:
        undecided[str(bad.reason)] += bad.spans
    for reason, spans in undecided.items():
        noun = "span" if spans == 1 else "spans"
        click.echo(f"{spans:,} {noun} not decided: {reason}", err=True)


def _messages(names: Iterable[str]) -> Iterator[bytes]:
    for name in names:
        try:
            content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
            yield from messages(content)
        except OSError as problem:
            raise click.ClickException(f"{name}: {problem.strerror}") from None
        except Malformed as problem:
            raise click.ClickException(f"{name}: {problem}") from None


def _line(trace: Decided) -> dict[str, object]:
    decision = trace.decision
    return {
        "trace_id": decision.trace_id.hex(),
        "verdict": decision.verdict.value,
        "policy": decision.policy,
        "trigger": decision.trigger.value,
        "votes": {policy: vote.value for policy, vote in trace.votes},
    }


def _print(decided: Decisions) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    table = Table(box=None, pad_edge=False)
    for name in ("trace", "verdict", "policy", "trigger", "votes for it"):
        table.add_column(name)
    for name in ("spans", "errors", "ms"):
        table.add_column(name, justify="right")
    for trace in decided.traces:
        decision = trace.decision
        table.add_row(
            decision.trace_id.hex(),
            f"[green]{decision.verdict}[/]" if decision.policy else str(decision.verdict),
            _name(decision.policy),
            decision.trigger.value,
            _name(", ".join(_told(policy, vote) for policy, vote in trace.votes if vote in _TOLD)),
            f"{decision.spans:,}",
            f"{decision.errors:,}",
            f"{decision.duration_us / 1000:,.0f}",
        )
    console.print(table)
    console.print(_summary(decided), highlight=False)


def _name(name: str) -> Text:
    """Return a cell as it is, whatever is in it: no markup."""
    return Text(printable(name))


def _told(policy: str, vote: Vote) -> str:
    return f"{policy} failed" if vote is Vote.ERROR else policy


def _summary(decided: Decisions) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left", title="\nby policy")
    table.add_column("verdict")
    table.add_column("policy")
    for name in ("traces", "spans", "of all spans"):
        table.add_column(name, justify="right")
    traces: Counter[tuple[str, str]] = Counter()
    spans: Counter[tuple[str, str]] = Counter()
    for trace in decided.traces:
        group = (trace.decision.verdict.value, trace.decision.policy)
        traces[group] += 1
        spans[group] += trace.decision.spans
    for group in sorted(traces, reverse=True):
        share = spans[group] / spans.total()
        verdict, policy = group
        counts = f"{traces[group]:,}", f"{spans[group]:,}", f"{share:.1%}"
        table.add_row(verdict, _name(policy), *counts)
    table.add_row("", "all", f"{traces.total():,}", f"{spans.total():,}", "")
    return table
