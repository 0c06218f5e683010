"""`tailstream tail`: kept traces as they come, drawn as trees, with why they were kept."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import click
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from rich.console import Console
from rich.text import Text

from stream import clock
from stream.assembly.drawing import render_trace
from stream.assembly.layout import layout_for
from stream.cli.decisions import refused
from stream.cli.options import settings_options
from stream.cli.tail_waiting import Waiting, not_in_settings
from stream.kafka.client_settings import connection
from stream.kafka.errors import KafkaException
from stream.kafka.topic_reader import ReadRecord, TopicReader
from stream.printable import printable
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings

READ_WAIT_S = 0.5
NS_PER_MS = 1_000_000
# Ten lines a second while no broker answers; the last line says it once.
QUIET = {"log_level": 0}


@dataclass(frozen=True, slots=True)
class Kept:
    """A delivery of the output topic. `duration_ms` spans its first start and last end."""

    trace_id: str
    policy: str
    trigger: str
    services: frozenset[str]
    duration_ms: float
    spans: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Filters:
    """What is shown; an unset filter shows all."""

    services: tuple[str, ...]
    policies: tuple[str, ...]
    min_ms: float

    def show(self, kept: Kept) -> bool:
        """Return whether a delivery passes."""
        return (
            (not self.services or not kept.services.isdisjoint(self.services))
            and (not self.policies or kept.policy in self.policies)
            and kept.duration_ms >= self.min_ms
        )

    def meaning(self) -> str:
        """Return in words what is shown."""
        asked = [
            f"through {' or '.join(self.services)}" if self.services else "",
            f"kept by {' or '.join(self.policies)}" if self.policies else "",
            f"of {self.min_ms:g} ms or more" if self.min_ms else "",
        ]
        return " ".join(["kept traces", ", ".join(filter(None, asked))]).strip()


@click.command()
@click.option("--service", "services", multiple=True, help="Only traces through it. Repeatable.")
@click.option("--policy", "policies", multiple=True, help="Only what it kept. Repeatable.")
@click.option("--min-duration", "min_ms", type=float, default=0, metavar="MS", help="At least.")
@click.option("--from-beginning", is_flag=True, help="From the topic's start, not from now on.")
@click.option("--limit", type=click.IntRange(min=1), help="End after so many traces.")
@click.option("--json", "as_json", is_flag=True, help="One line a trace, for programs.")
@settings_options
def command(
    settings: Settings,
    services: tuple[str, ...],
    policies: tuple[str, ...],
    min_ms: float,
    limit: int | None,
    *,
    from_beginning: bool,
    as_json: bool,
) -> None:
    """Show kept traces as they come, and why they were kept. Ctrl-C ends it.

    What it waits for is said on stderr. Exit codes: 0 ended by Ctrl-C or --limit, 2 an operator's
    mistake, or a Kafka that does not answer or has no such topic.
    """
    check_key_files(settings.kafka)
    filters = Filters(services, policies, min_ms)
    configured = [policy.name for policy in settings.tail_sampling.policies_in_order()]
    _say([_waits_for(settings, filters, from_beginning=from_beginning)])
    _say(not_in_settings(policies, configured))
    waiting = Waiting(policies, clock.monotonic_s())
    console = Console()
    try:
        with TopicReader(
            {**QUIET, **connection(settings.kafka)},
            [settings.topics.output],
            from_end=not from_beginning,
        ) as reader:
            for number, kept in enumerate(_shown(reader, filters, waiting), start=1):
                _print(console, kept, as_json=as_json)
                if number == limit:
                    return
    except KafkaException as problem:
        raise refused(settings, "topics.output", problem) from None
    except KeyboardInterrupt:
        return


def _shown(reader: TopicReader, filters: Filters, waiting: Waiting) -> Iterator[Kept]:
    while True:
        for record in reader.read(READ_WAIT_S):
            kept = kept_of(record)
            if kept is None:
                continue
            shown = filters.show(kept)
            waiting.came(kept.policy, shown=shown)
            if shown:
                yield kept
        _say(waiting.lines(clock.monotonic_s()))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(f"tail: {line}", err=True)


def _waits_for(settings: Settings, filters: Filters, *, from_beginning: bool) -> str:
    since = "from its beginning" if from_beginning else "from now on (--from-beginning: all)"
    return (
        f"waiting for {filters.meaning()} in topic {settings.topics.output!r} on "
        f"{settings.kafka['bootstrap.servers']}, {since}; Ctrl-C ends it"
    )


def kept_of(record: ReadRecord) -> Kept | None:
    """Return what a record of the output topic holds, None if it is not a trace of ours."""
    headers = {n: (value or b"").decode(errors="replace") for n, value in record.headers}
    try:
        data = TracesData.FromString(record.value)
    except DecodeError:
        return None
    spans = [s for r in data.resource_spans for scope in r.scope_spans for s in scope.spans]
    if not spans:
        return None
    services = {
        attribute.value.string_value
        for resource_spans in data.resource_spans
        for attribute in resource_spans.resource.attributes
        if attribute.key == "service.name"
    }
    start_ns = min(span.start_time_unix_nano for span in spans)
    end_ns = max(span.end_time_unix_nano for span in spans)
    return Kept(
        record.key.decode(errors="replace"),
        headers.get("tailstream.policy", "?"),
        headers.get("tailstream.trigger", "?"),
        frozenset(services),
        max(0, end_ns - start_ns) / NS_PER_MS,
        len(spans),
        record.value,
    )


def _print(console: Console, kept: Kept, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_line(kept)))
        return
    title = Text(printable(kept.trace_id)).append(f"  kept by {printable(kept.policy)}", "green")
    if kept.trigger != "decision_wait":
        title.append(f" ({printable(kept.trigger)})", style="yellow")
    layout = layout_for(console.width if console.is_terminal else None, full=False)
    for line in render_trace(kept.value, title, layout):
        console.print(line, soft_wrap=True)
    console.print()


def _line(kept: Kept) -> dict[str, Any]:
    return {
        "trace_id": kept.trace_id,
        "policy": kept.policy,
        "trigger": kept.trigger,
        "services": sorted(kept.services),
        "duration_ms": kept.duration_ms,
        "spans": kept.spans,
    }
