"""Results: as JSON for the repository, as tables for the eye. CPU and ratios, never wall times."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import confluent_kafka
from rich.console import Console
from rich.table import Table

from stream.version import build
from tests.bench.figures import figures, spread
from tests.bench.policies import REFERENCE, Keeping
from tests.bench.preload import Loaded
from tests.bench.stages import STAGES
from tests.bench.worker_run import WorkerRun
from tests.harness.repository import ROOT

MIB = 1 << 20
NOT_COVERED = "not covered: Faust, queues, timers, metrics, the GIL, cold memory"

Tree = dict[str, Any]


def results(
    loaded: Loaded,
    runs: list[WorkerRun],
    stages: list[dict[str, dict[str, float]]],
    origin: Tree,
) -> Tree:
    """Return everything that is worth keeping, medians first."""
    names = list(dict.fromkeys(run.variant for run in runs))
    return {
        **origin,
        **corpus_told(loaded),
        "variants": {
            name: _variant(
                loaded.expected.spans,
                [run for run in runs if run.variant == name],
                [stage[name] for stage in stages if name in stage],
            )
            for name in names
        },
    }


def corpus_told(loaded: Loaded, keeping: Keeping = REFERENCE) -> Tree:
    """Return what was loaded, and how much of it is to be kept."""
    expected, kept = loaded.expected, loaded.expected.kept(keeping)
    kept_spans = sum(map(len, kept.values()))
    return {
        "corpus": {
            "shape": loaded.shape.name,
            "spans": expected.spans,
            "traces": expected.traces,
            "records": loaded.records,
            "spans_a_record": round(expected.spans / loaded.records, 3),
            "bytes_a_span": round(loaded.value_bytes / expected.spans, 1),
            "event_s": loaded.event_s,
        },
        "kept": {
            "traces": len(kept),
            "spans": kept_spans,
            "share_of_spans": round(kept_spans / expected.spans, 4),
        },
    }


def origin(*, kafka: str, compression: str, seed: int) -> Tree:
    """Return where and with what it is measured."""
    # In UTC, so that it says the same everywhere.
    date = subprocess.run(["date", "-u", "+%F"], capture_output=True, text=True, check=True)
    return {
        "date": date.stdout.strip(),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "uncommitted_changes_in_stream": bool(_git("status", "--porcelain", "stream")),
        "compression": compression,
        "seed": seed,
        "versions": {
            **build(),
            "python": platform.python_version(),
            "kafka": kafka,
            "librdkafka": confluent_kafka.libversion()[0],
            "confluent-kafka": version("confluent-kafka"),
            "faust-streaming": version("faust-streaming"),
            "rocksdict": version("rocksdict"),
        },
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB,
            "load_at_start": round(os.getloadavg()[0], 2),
        },
    }


def write(tree: Tree, path: Path) -> None:
    """Write the results where they can be compared with later ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree, indent=2) + "\n")


def show(tree: Tree, console: Console) -> None:
    """Print the results."""
    corpus, kept = tree["corpus"], tree["kept"]
    console.print(
        f"\n{corpus['spans']:,} spans, {corpus['traces']:,} traces, {corpus['records']:,} records "
        f"({corpus['spans_a_record']:.2f} spans a record, {corpus['bytes_a_span']:.0f} B a span), "
        f"{tree['compression']} compression"
    )
    console.print(
        f"kept {kept['traces']:,} traces, {kept['spans']:,} spans ({kept['share_of_spans']:.1%}): "
        "what the policies say, counted by another program"
    )
    console.print(_process_table(tree))
    console.print(_threads_table(tree))
    console.print(_stages_table(tree))
    for told in (tree["machine"], tree["versions"]):
        console.print(", ".join(f"{name} {value}" for name, value in told.items()), style="dim")


def _process_table(tree: Tree) -> Table:
    table = Table(title="the worker process, from ready to the last commit (start not counted)")
    table.add_column("storage.spans")
    table.add_column("core")
    for name in ("CPU µs a span", "spans a CPU-second", "peak RSS MiB", "runs"):
        table.add_column(name, justify="right")
    for name, variant in tree["variants"].items():
        process = variant["process"]
        table.add_row(
            name,
            variant["core"],
            spread(process["cpu_us_a_span"]),
            f"{process['spans_a_cpu_second']:,}",
            spread(process["peak_rss_mib"], digits=0),
            str(process["runs"]),
        )
    return table


def _threads_table(tree: Tree) -> Table:
    return _table_by_row(
        tree, "the same by thread, CPU µs a span", lambda variant: variant["threads_us_a_span"]
    )


def _stages_table(tree: Tree) -> Table:
    def rows(variant: Tree) -> Tree:
        if "stages_us_a_span" not in variant:
            return {}
        stages = {
            f"{name}: {text}": variant["stages_us_a_span"][name] for name, text in STAGES.items()
        }
        worker = {"median": variant["process"]["cpu_us_a_span"]["median"]}
        return {
            **stages,
            "sum of the stages": {"median": variant["stages_sum_us_a_span"]},
            NOT_COVERED: {"median": variant["not_covered_us_a_span"]},
            "the worker process": worker,
        }

    return _table_by_row(tree, "by stage, each run by itself, CPU µs a span", rows)


def _table_by_row(tree: Tree, title: str, rows: Any) -> Table:
    table = Table(title=title)
    table.add_column("")
    variants = tree["variants"]
    for storage in variants:
        table.add_column(storage, justify="right", no_wrap=True)
    columns = [rows(variant) for variant in variants.values()]
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(name, *(spread(column.get(name)) for column in columns))
    return table


def _variant(spans: int, runs: list[WorkerRun], stages: Sequence[dict[str, float]]) -> Tree:
    cpu = figures(run.cpu.total_us / spans for run in runs)
    threads = sorted({name for run in runs for name in run.cpu.threads_us})
    return {
        "core": "/".join(sorted({run.core for run in runs})),
        "process": {
            "cpu_us_a_span": cpu,
            "spans_a_cpu_second": round(1_000_000 / cpu["median"]),
            "peak_rss_mib": figures(run.peak_rss_bytes / MIB for run in runs),
            "start_cpu_s": figures(run.start_cpu_us / 1_000_000 for run in runs),
            "runs": len(runs),
        },
        "threads_us_a_span": {
            name: figures(run.cpu.threads_us[name] / spans for run in runs) for name in threads
        },
        **_by_stage(stages, cpu["median"]),
    }


def _by_stage(stages: Sequence[dict[str, float]], whole_us: float) -> Tree:
    if not stages:
        return {}
    by_stage = {name: figures(stage[name] for stage in stages) for name in STAGES}
    covered = sum(one["median"] for one in by_stage.values())
    return {
        "stages_us_a_span": by_stage,
        "stages_sum_us_a_span": round(covered, 3),
        "not_covered_us_a_span": round(whole_us - covered, 3),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _git(*args: str) -> str:
    return subprocess.run(
        ["git", *args], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
