"""The bare `tailstream demo`: the main job, whole, and what became of every span."""

import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

from stream.cli.demo_stage import INTERRUPTED_CODE, ended_by_signals, own_topics, stage
from stream.cli.refused import ClusterRefused
from stream.demo.run import Demo, NotSettledError, run, worker_settings
from stream.demo.story import render_story
from stream.demo.worker_process import WorkerFailedError
from stream.kafka.topics import ClusterError
from stream.settings.model import Settings

EMBEDDED_NEXT = "tailstream demo --kafka host:9092"
CLUSTER_NEXT = "tailstream init"


def tell(kafka: str | None, traces: int, rate: float, seed: int, then: str | None) -> None:
    """Run the story, and print it; the exit code is not 0 where something is unaccounted for."""
    console = Console()
    topics = own_topics(real=kafka is not None)
    group = topics["input"]
    try:
        with (
            ended_by_signals(),
            tempfile.TemporaryDirectory(prefix="tailstream-demo-") as name,
            stage(kafka, topics, [group, f"{group}-position"]) as there,
        ):
            directory = Path(name)
            client = {"bootstrap.servers": there.address}
            settings = worker_settings(client, topics, delivery=there.delivery, directory=directory)
            demo = Demo(
                kafka=client,
                settings=settings,
                topics=topics,
                partitions=there.partitions,
                traces=traces,
                traces_per_s=rate,
                seed=seed,
                # The embedded broker has no admin API to ask.
                check_topics=kafka is not None,
                why={p.name: p.meaning() for p in Settings().tail_sampling.policies},
                end=end_of(kafka, then),
            )
            story = run(demo, directory, console)
    except ClusterError as problem:
        raise ClusterRefused(str(problem)) from None
    except (NotSettledError, WorkerFailedError, RuntimeError) as problem:
        raise click.ClickException(str(problem)) from None
    except KeyboardInterrupt:
        click.echo("Ended early: the worker is stopped, and its files are gone.", err=True)
        sys.exit(INTERRUPTED_CODE)
    console.print(render_story(story), soft_wrap=True)
    if story.faults:
        raise click.ClickException("; ".join(story.faults))


def end_of(kafka: str | None, then: str | None) -> str:
    """Return the story's last line: what this Kafka was good for, and what to do next."""
    if kafka is None:
        end = "Embedded broker: at least once, nothing kept after exit."
        return f"{end}   Next:  {then or EMBEDDED_NEXT}"
    end = f"Kafka at {kafka}: exactly once; the demo's topics and groups are deleted."
    return f"{end}   Next:  {then or CLUSTER_NEXT}"
