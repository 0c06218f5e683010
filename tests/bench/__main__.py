"""`make bench`: what a span costs the worker, on a real Kafka."""

import argparse
import sys
import tempfile
from pathlib import Path

import yaml
from rich.console import Console

from tests.bench import report
from tests.bench.corpus import SEED
from tests.bench.kept import WrongOutputError
from tests.bench.preload import Loaded, preloaded, topics_of_a_run
from tests.bench.stages import Stages
from tests.bench.worker_run import STORAGES, BenchWorker, WorkerRun, run_worker
from tests.harness.broker import BOOTSTRAP_VARIABLE, GivenBroker, NoBrokerError, running_broker
from tests.harness.kafka_jars import kafka_version

RESULTS = Path(__file__).parent / "results"
NOT_TOLD = "as it was given, version not told"


def main() -> None:
    """Load, run, check, print, write."""
    args = _arguments()
    console = Console(highlight=False)
    with running_broker() as broker:
        given = isinstance(broker, GivenBroker)
        kafka = args.kafka_version or (NOT_TOLD if given else kafka_version())
        origin = report.origin(kafka=kafka, compression=args.compression, seed=args.seed)
        console.print(f"Loading {args.spans:,} spans into Kafka at {broker.bootstrap} ...")
        with preloaded(
            broker.bootstrap, args.spans, seed=args.seed, compression=args.compression
        ) as loaded:
            runs, stages = _measure(loaded, args.rounds, console)
    tree = report.results(loaded, runs, stages, origin)
    report.show(tree, console)
    name = args.name or f"{origin['date']}-{origin['commit']}-{args.compression}"
    report.write(tree, RESULTS / f"{name}.json")
    console.print(f"written: tests/bench/results/{name}.json")


def _measure(
    loaded: Loaded, rounds: int, console: Console
) -> tuple[list[WorkerRun], list[dict[str, dict[str, float]]]]:
    """Run workers and stages in turn, so that a slow minute of the machine hits all alike."""
    runs: list[WorkerRun] = []
    stages: list[dict[str, dict[str, float]]] = []
    kept = loaded.expected.kept()
    with topics_of_a_run(loaded) as topics, tempfile.TemporaryDirectory() as home:
        worker = BenchWorker(topics, Path(home), STORAGES[0])
        worker.config.write_text(yaml.safe_dump(worker.settings()))
        by_itself = Stages(worker.config, loaded)
        for number in range(1, rounds + 1):
            for storage in STORAGES:
                run = run_worker(loaded, kept, storage)
                a_span = run.cpu.total_us / loaded.expected.spans
                console.print(f"round {number} of {rounds}: {storage} {a_span:.2f} µs a span")
                runs.append(run)
            stages.append(by_itself.round())
    return runs, stages


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--spans", type=int, default=200_000, help="about so many, whole traces")
    parser.add_argument("--rounds", type=int, default=5, help="of workers and stages, in turn")
    parser.add_argument("--compression", choices=("none", "lz4"), default="none")
    parser.add_argument("--seed", type=int, default=SEED, help="of the corpus")
    parser.add_argument("--name", help="of the file of results; default: date, commit, compression")
    parser.add_argument("--kafka-version", help=f"of the Kafka at {BOOTSTRAP_VARIABLE}")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except NoBrokerError as none:
        sys.exit(str(none))
    except WrongOutputError as wrong:
        sys.exit(f"The worker's output is wrong, so nothing is measured: {wrong}")
