"""`tailstream pin`: keep traces whatever the policies say."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final

import click

from stream.cli.options import settings_options
from stream.cli.parameters import Duration, trace_id_of
from stream.cli.refused import ClusterRefused, unusable
from stream.kafka.client_settings import Membership, producer_settings
from stream.kafka.control_records import ControlRecords, Target
from stream.kafka.errors import KafkaException
from stream.kafka.record_producer import RecordProducer
from stream.kafka.required_topics import required_topics
from stream.kafka.topics import ClusterError
from stream.printable import printable
from stream.sampling.control import SOURCE_BYTES_MAX, TTL_MS_MAX, Pin
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings
from stream.settings.units import format_duration

STDIN: Final = "-"
DELIVERY_S: Final = 30.0
"""How long a person waits before a pin that no broker takes is given up."""

SHOWN_CHARS_MAX: Final = 60
SHOWN_MAX: Final = 20


@click.command()
@click.argument("trace_ids", metavar="TRACE_ID...", nargs=-1, required=True)
@click.option(
    "--ttl",
    "ttl_s",
    type=Duration(),
    metavar="DURATION",
    help="How long a pin waits for its trace's first span; by default exemplars.ttl.",
)
@click.option(
    "--source",
    default="tailstream pin",
    show_default=True,
    help="Who asks, in a few words: decisions tell it.",
)
@click.option(
    "--all-partitions",
    is_flag=True,
    help="Write each pin to every partition, where spans do not lie by their trace id.",
)
@settings_options
def command(
    settings: Settings,
    trace_ids: Sequence[str],
    ttl_s: float | None,
    source: str,
    *,
    all_partitions: bool,
) -> None:
    """Keep traces whatever the policies say, before their spans come, meanwhile or afterwards.

    TRACE_ID: 32 hex digits, or a traceparent; `-` reads them from standard input, one a line. Each
    trace gets a line that says where its pin lies: partition@offset. Nothing is pinned where one
    of the ids is none. Exit codes: 0 all pinned, 2 an operator's mistake, 1 Kafka did not take them
    in time: pin them again.
    """
    check_key_files(settings.kafka)
    pins = _pins(trace_ids, ttl_s or settings.exemplars.ttl_s, source)
    try:
        _write(settings, pins, all_partitions=all_partitions or settings.exemplars.all_partitions)
    except ClusterError as problem:
        raise ClusterRefused(str(problem)) from None
    except KafkaException as problem:
        raise unusable(problem, "pin what has no line again") from None


@dataclass(slots=True)
class _Written:
    """Where the records of a pin lie; a pin is told of when all are safe."""

    pin: Pin
    places: list[tuple[int, int]] = field(default_factory=list)

    def placed(self, partition: int, offset: int) -> None:
        self.places.append((partition, offset))

    def told(self, topic: str) -> None:
        lie = ", ".join(f"{partition}@{offset}" for partition, offset in sorted(self.places))
        ttl = format_duration(self.pin.ttl_ms / 1000)
        click.echo(f"{self.pin.trace_id.hex()} pinned for {ttl}: {topic} {lie}")


def _pins(given: Sequence[str], ttl_s: float, source: str) -> list[Pin]:
    """Return a pin for each trace, each once."""
    source_bytes = len(source.encode(errors="replace"))
    if not 0 < source_bytes <= SOURCE_BYTES_MAX:
        raise click.BadParameter(
            f"{source_bytes} bytes: write 1 to {SOURCE_BYTES_MAX}", param_hint="--source"
        )
    ttl_ms = round(ttl_s * 1000)
    if not 0 < ttl_ms <= TTL_MS_MAX:
        raise click.BadParameter("write 1ms to 10000h", param_hint="--ttl")
    found = {text: trace_id_of(text) for text in chain.from_iterable(map(_ids, given))}
    bad = [text for text, trace_id in found.items() if trace_id is None]
    if bad:
        raise ClusterRefused(_no_ids(bad))
    if not found:
        raise ClusterRefused("no trace id on standard input: write one a line")
    wanted = dict.fromkeys(trace_id for trace_id in found.values() if trace_id is not None)
    return [Pin(bytes.fromhex(trace_id), ttl_ms, source) for trace_id in wanted]


def _ids(given: str) -> Iterator[str]:
    if given != STDIN:
        yield given
        return
    # Bytes that are no text are no trace id either, and are told as such.
    for line in sys.stdin.buffer.read().decode(errors="replace").splitlines():
        if line.strip():
            yield line.strip()


def _no_ids(bad: Sequence[str]) -> str:
    lines = [
        f"{printable(text[:SHOWN_CHARS_MAX])!r} is no trace id: write its 32 hex digits, not all "
        "zero, or a traceparent"
        for text in bad[:SHOWN_MAX]
    ]
    if len(bad) > SHOWN_MAX:
        lines.append(f"and {len(bad) - SHOWN_MAX:,} more")
    return "\n".join([*lines, "nothing was pinned"])


def _write(settings: Settings, pins: Sequence[Pin], *, all_partitions: bool) -> None:
    topics, worker = settings.topics, settings.worker
    required_topics(settings.kafka, {"topics.input": topics.input})
    member = Membership(worker.group, worker.instance_id, static=False, session_timeout_s=0)
    producing = {
        # A person waits for it, so not for ever.
        "message.timeout.ms": round(DELIVERY_S * 1000),
        **producer_settings(
            settings.kafka,
            member,
            compression=settings.output.compression,
            transaction_timeout_s=None,
        ),
    }
    target = Target(
        topic=topics.input,
        all_partitions=all_partitions,
        as_json=settings.exemplars.json_input,
    )
    producer = RecordProducer(producing, [target.topic], partitioner=topics.partitioner)
    records = ControlRecords(target, producer)
    try:
        for pin in pins:
            written = _Written(pin)
            records.write(pin, partial(written.told, topics.input), written.placed)
            records.poll()
        while records.flush(1.0):
            pass
    finally:
        records.close()
