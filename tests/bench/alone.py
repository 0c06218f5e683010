"""What a span costs the worker, as a process and by stage."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml
from rich.console import Console

from tests.bench.preload import Loaded, topics_of_a_run
from tests.bench.stages import Stages
from tests.bench.worker_run import MEMORY, BenchWorker, Variant, WorkerRun, run_worker

Rounds = tuple[list[WorkerRun], list[dict[str, dict[str, float]]]]


def measure(loaded: Loaded, variants: Sequence[Variant], rounds: int, console: Console) -> Rounds:
    """Run workers and stages in turn, so that a slow minute of the machine hits all alike."""
    runs: list[WorkerRun] = []
    stages: list[dict[str, dict[str, float]]] = []
    own_topics = topics_of_a_run(loaded.bootstrap, loaded.input)
    with own_topics as topics, tempfile.TemporaryDirectory() as home:
        worker = BenchWorker(topics, Path(home), MEMORY)
        worker.config.write_text(yaml.safe_dump(worker.settings()))
        by_itself = Stages(worker.config, loaded)
        for number in range(1, rounds + 1):
            for variant in variants:
                run = run_worker(loaded, variant)
                a_span = run.cpu.total_us / loaded.expected.spans
                console.print(
                    f"round {number} of {rounds}: {variant.name} ({run.core}) "
                    f"{a_span:.2f} µs a span"
                )
                runs.append(run)
            stages.append(by_itself.round())
    return runs, stages
