"""A real Collector that brings kept traces to the topic that Zipkin reads, as Zipkin's JSON."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.harness.topics import Topics
from tests.real.collector_process import CollectorProcess

CONFIG: Final = Path(__file__).parent / "kept_to_zipkin.yaml"


@contextmanager
def kept_to_zipkin(
    program: Path, topics: Topics, zipkin_topic: str, directory: Path
) -> Iterator[CollectorProcess]:
    """Give a running Collector between `topics.output` and Zipkin's topic."""
    settings = {
        "BROKERS": topics.bootstrap,
        "GROUP": f"{topics.group}-zipkin",
        "KEPT_TOPIC": topics.output,
        "ZIPKIN_TOPIC": zipkin_topic,
    }
    collector = CollectorProcess(program, CONFIG, directory / "collector", settings)
    try:
        collector.start()
        yield collector
    finally:
        collector.close()
