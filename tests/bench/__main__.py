"""`make bench`: what a span costs the worker, on a real Kafka; PEER=1: and the Collector."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench import alone, comparison, latency, memory, policy_costs, report
from tests.bench.corpus import SEED, SHAPES
from tests.bench.kept import WrongOutputError
from tests.bench.peer.build import NoCollectorError, collector, version_of
from tests.bench.peer.collector import STRONGEST
from tests.bench.preload import preloaded
from tests.bench.worker_run import VARIANTS, Variant, with_pure
from tests.harness.broker import BOOTSTRAP_VARIABLE, GivenBroker, NoBrokerError, running_broker
from tests.harness.kafka_jars import kafka_version

RESULTS = Path(__file__).parent / "results"
NOT_TOLD = "as it was given, version not told"
SPANS = 200_000
PEER_SPANS = {"reference": 400_000, "single": 300_000, "wide": 150_000}
"""So many that ticks of the CPU's clock do not matter, so few that the Collector has memory left:
it holds what it reads in five seconds as objects, and lets its heap grow to five times that."""
PEER_MEMORY = {"wide": "2GiB"}
"""Where the default would make the worker wait: the Collector has what it wants, too."""
POLICY_SPANS = 20_000
LIVE_RATE = 10_000
CAPACITY_SPANS = 1_200_000
COLLECTOR = {"modules": version_of(), "tuning": str(STRONGEST)}
Tree = dict[str, Any]
Part = tuple[Tree, str]
"""Figures for the file of results, and their Markdown."""


def main() -> None:
    """Load, run, check, print, write."""
    args = _arguments()
    console = Console(highlight=False)
    chosen = [name for name in PARTS if getattr(args, name)]
    if args.policies:
        _policies(args, console)
        if not chosen:
            return
    with running_broker() as broker:
        given = isinstance(broker, GivenBroker)
        kafka = args.kafka_version or (NOT_TOLD if given else kafka_version())
        origin = report.origin(kafka=kafka, compression=args.compression, seed=args.seed)
        if not chosen:
            _alone(args, broker.bootstrap, origin, console)
            return
        tree, tables = origin, []
        for name in chosen:
            found, table = PARTS[name](args, broker.bootstrap, console)
            tables.append(table)
            tree = {**tree, **found}
            console.print(f"\n{table}", soft_wrap=True, markup=False)
    path = _write(args, tree, f"{origin['date']}-{origin['commit']}-{'-'.join(chosen)}", console)
    path.with_suffix(".md").write_text("\n".join(tables))


def _alone(args: argparse.Namespace, bootstrap: str, origin: Tree, console: Console) -> None:
    compression = args.compression or "none"
    origin["compression"] = compression
    spans = args.spans or SPANS
    console.print(f"Loading {spans:,} spans into Kafka at {bootstrap} ...")
    loading = preloaded(bootstrap, spans, seed=args.seed, compression=compression, for_stages=True)
    with loading as loaded:
        variants = with_pure(VARIANTS, pure=args.pure)
        runs, stages = alone.measure(loaded, variants, args.rounds, console)
    tree = report.results(loaded, runs, stages, origin)
    report.show(tree, console)
    _write(args, tree, f"{origin['date']}-{origin['commit']}-{compression}", console)


def _policies(args: argparse.Namespace, console: Console) -> None:
    """Measure the policies, for which no broker is needed."""
    origin = report.origin(kafka="none", compression="none", seed=args.seed)
    spans = args.spans or POLICY_SPANS
    console.print(f"Policies over {spans:,} spans ...")
    found = policy_costs.measure_policies(
        spans, seed=args.seed, rounds=args.rounds, console=console
    )
    table = policy_costs.table(found)
    console.print(f"\n{table}", soft_wrap=True, markup=False)
    path = RESULTS / f"{args.name or origin['date'] + '-' + origin['commit']}-policies.json"
    report.write({**origin, "policies": found}, path)
    path.with_suffix(".md").write_text(table)
    console.print(f"written: {path.name}")


def _peer(args: argparse.Namespace, bootstrap: str, console: Console) -> Part:
    binary = collector(console)
    sections = []
    for shape, compression in _sections(args):
        spans = args.spans or PEER_SPANS[shape]
        console.print(f"Loading {spans:,} spans ({shape}, {compression}) at {bootstrap} ...")
        variants = with_pure(_with_memory(VARIANTS, shape), pure=args.pure)
        loading = preloaded(
            bootstrap, spans, seed=args.seed, compression=compression, shape=SHAPES[shape]
        )
        with loading as loaded:
            sections.append(comparison.compare(binary, loaded, variants, args.rounds, console))
    return {"collector": COLLECTOR, "sections": sections}, comparison.tables(sections)


def _with_memory(variants: tuple[Variant, ...], shape: str) -> tuple[Variant, ...]:
    """Return the variants with room for a backlog of this shape: all of it is in one window."""
    memory = PEER_MEMORY.get(shape)
    settings = {"storage": {"memory": memory}} if memory else {}
    return tuple(replace(variant, settings=settings) for variant in variants)


def _rss(args: argparse.Namespace, bootstrap: str, console: Console) -> Part:
    load = memory.LiveLoad(rate=args.rate or LIVE_RATE, window_s=args.window, seed=args.seed)
    found = memory.compare_memory(collector(console), bootstrap, load, console)
    return {"collector": COLLECTOR, "memory": found}, memory.table(found)


def _latency(args: argparse.Namespace, bootstrap: str, console: Console) -> Part:
    found = latency.measure_latency(
        bootstrap,
        capacity=2 * (args.rate or 0),
        spans=args.spans or CAPACITY_SPANS,
        seed=args.seed,
        console=console,
    )
    return {"latency": found}, latency.table(found)


PARTS = {"peer": _peer, "rss": _rss, "latency": _latency}


def _sections(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Return (shape, compression) of each topic. Only the reference comes compressed too."""
    shapes = args.corpus or list(SHAPES)
    if args.compression:
        return [(shape, args.compression) for shape in shapes]
    both = [("reference", "lz4")] if "reference" in shapes else []
    return [*((shape, "none") for shape in shapes[:1]), *both, *((s, "none") for s in shapes[1:])]


def _write(args: argparse.Namespace, tree: Tree, name: str, console: Console) -> Path:
    path = args.json or RESULTS / f"{args.name or name}.json"
    report.write(tree, path)
    console.print(f"written: {path.name}")
    return path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--spans", type=int, help="about so many, whole traces")
    parser.add_argument("--rounds", type=int, default=5, help="of everything, in turn")
    parser.add_argument("--compression", choices=("none", "lz4"), help="of the input topic")
    parser.add_argument("--seed", type=int, default=SEED, help="of the corpus")
    parser.add_argument("--pure", action="store_true", help="the pure-Python core beside")
    parser.add_argument("--peer", action="store_true", help="compare with the Collector")
    parser.add_argument("--rss", action="store_true", help="memory of both on a live feed")
    parser.add_argument("--latency", action="store_true", help="from deadline to readable")
    parser.add_argument("--policies", action="store_true", help="what each policy costs a trace")
    parser.add_argument("--rate", type=int, help="spans a second of the live feed")
    parser.add_argument("--window", type=int, default=30, help="seconds, with --rss")
    parser.add_argument(
        "--corpus", choices=tuple(SHAPES), action="append", help="with --peer; default: all"
    )
    parser.add_argument("--name", help="of the file of results; default: date, commit, kind")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there instead")
    parser.add_argument("--kafka-version", help=f"of the Kafka at {BOOTSTRAP_VARIABLE}")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (NoBrokerError, NoCollectorError) as missing:
        sys.exit(str(missing))
    except WrongOutputError as wrong:
        sys.exit(f"The worker's output is wrong, so nothing is measured: {wrong}")
