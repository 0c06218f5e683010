"""`make curves`: CPU a span against everything that could move it.

A worker is started on an empty topic; when it is ready it gets the whole corpus at one moment (one
transaction), and what it costs from there to its last commit is a run. So neither its start nor its
restores are in it. Points of a curve are run in turn, round after round.
"""

import argparse
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench import report
from tests.bench.corpus import SEED, CorpusRecord, Shape, corpus
from tests.bench.curve_points import Curve, Point, curves
from tests.bench.curve_tables import markdown_of
from tests.bench.figures import figures
from tests.bench.kept import WrongOutputError
from tests.bench.preload import Loading, empty_topic
from tests.bench.process_cpu import ProcessCpu
from tests.bench.worker_run import BenchWorker, Place, Variant, WorkerRun, measured, started
from tests.harness.broker import BOOTSTRAP_VARIABLE, GivenBroker, NoBrokerError, running_broker
from tests.harness.kafka_jars import kafka_version
from tests.harness.topics import wait_for
from tests.harness.worker import READY_TIMEOUT_S

RESULTS = Path(__file__).parent / "results"
NAME = "curves"
SPANS = 200_000
SETTLED_S = 1.0
Tree = dict[str, Any]


def main() -> None:
    """Run every point, again and again; write what came of it after each curve."""
    args = _arguments()
    console = Console(highlight=False)
    variant = Variant(storage=args.storage, pure=args.pure)
    chosen = [
        curve for curve in curves(args.spans, variant) if not args.only or curve.name in args.only
    ]
    with running_broker() as broker:
        given = isinstance(broker, GivenBroker)
        kafka = args.kafka_version or ("not told" if given else kafka_version())
        origin = report.origin(kafka=kafka, compression="none", seed=args.seed)
        tree = {**origin, "rounds": args.rounds, "variant": variant.name, "curves": []}
        for curve in chosen:
            measured_curve = _run_curve(curve, broker.bootstrap, args, console)
            tree["curves"].append(measured_curve)
            report.write(tree, args.out / f"{NAME}.json")
    tables = markdown_of(tree)
    (args.out / f"{NAME}.md").write_text(tables)
    console.print(tables, soft_wrap=True, markup=False)
    failed = sum(len(point["failed"]) for curve in tree["curves"] for point in curve["points"])
    if failed:
        sys.exit(f"{failed} runs failed")


def _run_curve(curve: Curve, bootstrap: str, args: argparse.Namespace, console: Console) -> Tree:
    runs: list[list[WorkerRun]] = [[] for _ in curve.points]
    spans: list[int] = [0 for _ in curve.points]
    failed: list[list[str]] = [[] for _ in curve.points]
    for number in range(1, args.rounds + 1):
        for index, point in enumerate(curve.points):
            try:
                spans[index], run = run_point(point, bootstrap, args.seed)
            except (WrongOutputError, TimeoutError, AssertionError) as wrong:
                # The other points are worth having; the exit code tells.
                failed[index].append(str(wrong))
                console.print(f"{curve.name} {point.at:g}: failed: {wrong}", markup=False)
                continue
            runs[index].append(run)
            console.print(
                f"round {number} of {args.rounds}: {curve.name} {point.at:g}: "
                f"{run.cpu.total_us / spans[index]:.2f} µs a span ({run.core})"
            )
    _records.cache_clear()
    return {
        "name": curve.name,
        "axis": curve.axis,
        "note": curve.note,
        "flat_wanted": curve.flat,
        "logarithmic": curve.logarithmic,
        "points": [_told(*each) for each in zip(curve.points, runs, spans, failed, strict=True)],
    }


def _told(point: Point, runs: list[WorkerRun], spans: int, failed: list[str]) -> Tree:
    told: Tree = {"at": point.at, "spans": spans, "failed": failed}
    if runs:
        told["core"] = "/".join(sorted({run.core for run in runs}))
        told["cpu_us_a_span"] = figures(run.cpu.total_us / spans for run in runs)
        told["peak_rss_mib"] = figures(run.peak_rss_bytes / report.MIB for run in runs)
    return told


def run_point(point: Point, bootstrap: str, seed: int) -> tuple[int, WorkerRun]:
    """Return how many spans there were, and what they cost.

    Raises:
        WrongOutputError: the workers did not keep what the policies keep.
        TimeoutError: they were not through in time.
    """
    records = _records(point.shape, point.spans, point.partitions, seed)
    with (
        empty_topic(bootstrap, time="CreateTime", partitions=point.partitions) as topic,
        started(
            Place(bootstrap, topic, point.partitions), point.variant, workers=point.workers
        ) as (topics, workers),
    ):
        _wait_until_settled(workers, point.partitions)
        before: list[ProcessCpu] = []
        loaded = Loading(bootstrap, topic, point.partitions, point.shape, "none").load(
            records, at_once=lambda: before.extend(ProcessCpu.of(each.pid) for each in workers)
        )
        run = measured(loaded, point.variant, topics, workers, before)
        return loaded.expected.spans, run


@lru_cache(maxsize=8)
def _records(shape: Shape, spans: int, partitions: int, seed: int) -> list[CorpusRecord]:
    return list(corpus(spans, seed=seed, shape=shape, partitions=partitions))


def _wait_until_settled(workers: list[BenchWorker], partitions: int) -> None:
    """Return when all are ready and each has had its share for a second."""
    for worker in workers:
        worker.wait_until_ready()
    if len(workers) == 1:
        return
    since_s = time.monotonic()
    shares: list[set[str]] = []

    def settled() -> bool:
        nonlocal since_s, shares
        seen = [worker.partitions() for worker in workers]
        if seen != shares:
            since_s, shares = time.monotonic(), seen
        shared = all(seen) and sum(map(len, seen)) == len(set().union(*seen)) == partitions
        return shared and time.monotonic() > since_s + SETTLED_S

    wait_for("all partitions shared out", settled, timeout_s=READY_TIMEOUT_S)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.curves", description=__doc__)
    names = [curve.name for curve in curves(SPANS)]
    parser.add_argument("--only", choices=names, action="append", help="default: all curves")
    parser.add_argument("--spans", type=int, default=SPANS, help="a point, about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--storage", choices=("memory", "spill", "rocksdb"), default="memory")
    parser.add_argument("--pure", action="store_true", help="of the pure-Python core")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of the results")
    parser.add_argument("--kafka-version", help=f"of the Kafka at {BOOTSTRAP_VARIABLE}")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except NoBrokerError as none:
        sys.exit(str(none))
