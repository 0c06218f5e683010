"""`make profile`: a flame graph per stage of the worker, native frames included.

A worker that is ready gets the whole corpus at one moment, and is sampled until its end: once by
perf, which sees every thread and costs little, so it says where the CPU goes; and a few times by
py-spy, which knows Python's functions, so it says to which stage of a thread the samples belong.
"""

import argparse
import contextlib
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.bench.corpus import REFERENCE, SEED, corpus
from tests.bench.flame import flame_graph
from tests.bench.kept import WrongOutputError
from tests.bench.preload import Loading, empty_topic
from tests.bench.process_cpu import MAIN, ProcessCpu
from tests.bench.profilers import Perf, Profiler, ProfilerError, PySpy
from tests.bench.stacks import STAGES, Sample, Stacks, by_stage, self_counts
from tests.bench.worker_run import Place, Variant, WorkerRun, measured, started
from tests.harness.broker import NoBrokerError, running_broker
from tests.harness.repository import ROOT
from tests.harness.topics import PARTITIONS

GRAPHS = ROOT / ".cache" / "profile"
SPANS = 600_000
ROUNDS = 3
FUNCTIONS = 8
WIDTH = 120
WHOLE = "process"


@dataclass(frozen=True, slots=True)
class Profile:
    """What profilers saw: `whole` by perf, None without it; `a_span` is CPU, by thread's role.

    With perf the main thread's stages alone are py-spy's: it is Python's functions that tell them
    from each other, while C's functions tell those of the poll thread.
    """

    stages: dict[str, Stacks]
    whole: Stacks | None
    a_span: dict[str, float]


def main() -> None:
    """Load, run, sample, draw, tell."""
    args = _arguments()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    py_spy = PySpy.found()
    perf = Perf.found() if args.perf else None
    variant = Variant(storage=args.storage)
    seen: list[Sample] = []
    native: list[Sample] | None = None
    a_span: dict[str, float] = {}
    with running_broker() as broker, tempfile.TemporaryDirectory() as home:
        for number in range(args.rounds):
            directory = Path(home) / str(number)
            directory.mkdir()
            samples, a_span = _sampled(py_spy(directory), variant, broker.bootstrap, args, console)
            seen += samples
        if perf:
            native, a_span = _sampled(perf(Path(home)), variant, broker.bootstrap, args, console)
    profile = _profile(seen, native, a_span)
    directory = args.out or GRAPHS / args.storage
    _draw(profile, directory)
    _tell(profile, console)
    console.print(f"flame graphs: {directory}")


def _sampled(
    profiler: Profiler, variant: Variant, bootstrap: str, args: argparse.Namespace, console: Console
) -> tuple[list[Sample], dict[str, float]]:
    """Return what it saw of a run, and what the run cost by role, in CPU microseconds a span."""
    before: list[ProcessCpu] = []
    with (
        contextlib.closing(profiler),
        empty_topic(bootstrap, time="CreateTime") as topic,
        started(Place(bootstrap, topic, PARTITIONS), variant, workers=1) as (topics, workers),
    ):
        workers[0].wait_until_ready()

        def attach() -> None:
            profiler.attach(workers[0].pid)
            before.append(ProcessCpu.of(workers[0].pid))

        console.print(f"{profiler.name}: {args.spans:,} spans, {variant.name} ...")
        loading = Loading(bootstrap, topic, PARTITIONS, REFERENCE, "none")
        loaded = loading.load(corpus(args.spans, seed=args.seed), at_once=attach)
        run = measured(loaded, variant, topics, workers, before)
        samples = profiler.samples()
    spans = loaded.expected.spans
    _told(profiler, run, samples, spans, console)
    return samples, {role: us / spans for role, us in run.cpu.threads_us.items()}


def _told(
    profiler: Profiler, run: WorkerRun, samples: list[Sample], spans: int, console: Console
) -> None:
    count = sum(sample.count for sample in samples)
    console.print(
        f"{profiler.name}: {count:,} samples, {run.cpu.total_us / spans:.2f} µs of CPU a span "
        f"while it was looked at ({run.core} core)"
    )


def _profile(seen: list[Sample], native: list[Sample] | None, a_span: dict[str, float]) -> Profile:
    if native is None:
        return Profile(by_stage(seen), None, a_span)
    whole = Stacks()
    for sample in native:
        whole[(sample.role, *sample.stack)] += sample.count
    of_main = [sample for sample in seen if sample.role == MAIN]
    others = [sample for sample in native if sample.role != MAIN]
    return Profile(by_stage([*of_main, *others]), whole, a_span)


def _draw(profile: Profile, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.svg"):
        old.unlink()
    texts = {stage.name: f"{stage.name}: {stage.text} ({stage.role})" for stage in STAGES}
    for name, stacks in profile.stages.items():
        (directory / f"{name}.svg").write_text(flame_graph(stacks, texts[name]))
    if profile.whole is not None:
        title = "the worker process, all threads, native frames alone"
        (directory / f"{WHOLE}.svg").write_text(flame_graph(profile.whole, title))


def _tell(profile: Profile, console: Console) -> None:
    in_role: Counter[str] = Counter()
    for stage in STAGES:
        in_role[stage.role] += profile.stages.get(stage.name, Stacks()).total()
    table = Table(title="CPU by stage: its threads' CPU, shared out by their samples")
    table.add_column("stage", no_wrap=True)
    for name in ("samples", "µs a span"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("self time, by function")
    for stage in STAGES:
        stacks = profile.stages.get(stage.name)
        if stacks:
            share = stacks.total() / in_role[stage.role]
            table.add_row(
                stage.name,
                f"{stacks.total():,}",
                f"{profile.a_span.get(stage.role, 0.0) * share:.3f}",
                Text("\n".join(_functions(stacks)), no_wrap=True, overflow="ellipsis"),
                end_section=True,
            )
    console.print(table)


def _functions(stacks: Stacks) -> list[str]:
    top = self_counts(stacks).most_common(FUNCTIONS)
    return [f"{count / stacks.total():4.0%} {label}" for label, count in top]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("--spans", type=int, default=SPANS, help="a run, about")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs under py-spy")
    parser.add_argument("--storage", choices=("memory", "spill", "rocksdb"), default="memory")
    parser.add_argument("--without-perf", dest="perf", action="store_false")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, help="directory of the graphs")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (NoBrokerError, ProfilerError) as missing:
        sys.exit(str(missing))
    except WrongOutputError as wrong:
        sys.exit(f"The worker's output is wrong, so the profile says nothing: {wrong}")
