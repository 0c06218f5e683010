"""Builds the Collector of these tests from Go modules: `python -m tests.real.collector_build`.

Once for a manifest, into `.cache/otelcol/`, by what builds the Collector of the comparison. It has
an OTLP and a Kafka receiver, a Kafka exporter (with every encoding, Zipkin's too) and a file
exporter.
"""

from pathlib import Path
from typing import Final

from rich.console import Console

from tests.bench.peer import build as peer

MANIFEST: Final = Path(__file__).parent / "collector_builder.yaml"


class NotBuiltError(RuntimeError):
    """There is no Collector here. The text says what to do."""


def collector() -> Path:
    """Return the Collector's program.

    Raises:
        NotBuiltError: it has not been built.
    """
    program = peer.place_of(MANIFEST)
    if not program.exists():
        raise NotBuiltError("there is no Collector: make test-real builds one (needs Go)")
    return program


def version() -> str:
    """Return the versions of the parts that speak to Kafka."""
    return ", ".join(f"{part} {number}" for part, number in peer.version_of(MANIFEST).items())


def build() -> None:
    """Build it, if it is not there.

    Raises:
        NotBuiltError: there is no Go, an old one, or the build failed.
    """
    try:
        peer.collector(Console(stderr=True), MANIFEST)
    except peer.NoCollectorError as none:
        raise NotBuiltError(str(none)) from none


if __name__ == "__main__":
    try:
        build()
    except NotBuiltError as problem:
        raise SystemExit(str(problem)) from None
