"""Tailstream / Resources: memory and its budget, what spills, RocksDB, CPU a span."""

from typing import Final

from deploy.dashboards.model import Dashboard, Kind, Panel, Query, Row, Unit, high_is_bad, stat
from deploy.dashboards.selectors import INSTANCE, JOB, PARTITION, WORKERS, by_partition, rate

HELD: Final = "tailstream_held_bytes"
BUDGET: Final = "tailstream_budget_bytes"
IN_MEMORY: Final = f'{WORKERS}, where=~"memory|open_traces|undelivered|inbox|rocksdb_memory"'
BODIES: Final = f'{WORKERS}, where=~"memory|rocksdb"'
PER_WORKER: Final = "by (instance)"
CPU: Final = "process_cpu_seconds_total"
RECEIVED: Final = "tailstream_spans_received_total"


def _budget(where: str) -> str:
    return f'{BUDGET}{{{WORKERS}, where="{where}"}}'


def _held(where: str) -> str:
    return f'{HELD}{{{WORKERS}, where="{where}"}}'


NOW: Final = Row(
    "Now",
    (
        stat(
            "CPU a span",
            f"1e6 * {rate(CPU, by=WORKERS)} / ({rate(RECEIVED, by=WORKERS)} > 0)",
            Unit.MICROSECONDS,
            "Processor time of the workers, all threads, divided by the spans they read. Two to "
            "four at full load; far more at a trickle, where what a second costs counts.",
            decimals=1,
        ),
        stat(
            "Cores in use",
            rate(CPU, by=WORKERS),
            Unit.CORES,
            "Of all workers together. A worker reads with one thread and decides with another: "
            "one at 1.5 cores has no more to give; add workers.",
            decimals=2,
        ),
        stat(
            "Memory budget used",
            f"max(sum {PER_WORKER} ({HELD}{{{IN_MEMORY}}}) / on (instance) {_budget('memory')})",
            Unit.SHARE,
            "What the fullest worker holds of storage.memory. It may stand near 100 %: then the "
            "oldest bodies spill. Only where the open traces alone fill it does `overload` decide.",
            steps=high_is_bad(0.9, 1),
        ),
        stat(
            "Disk budget used",
            f"max({_held('disk')} / on (instance) {_budget('disk')})",
            Unit.SHARE,
            "RocksDB's files of the worker with the largest, of storage.disk. At 100 % the oldest "
            "traces are decided early (`disk_limit`).",
            steps=high_is_bad(0.6, 0.9),
        ),
        stat(
            "Largest process",
            f"max(process_resident_memory_bytes{{{WORKERS}}})",
            Unit.BYTES,
            "Resident memory of the largest worker: storage.memory and about 150 MiB.",
        ),
        stat(
            "Bodies spilled",
            f"sum({_held('rocksdb')}) / (sum({HELD}{{{BODIES}}}) > 0)",
            Unit.SHARE,
            "Of the bodies and decisions that are held, the share that is in RocksDB.",
        ),
    ),
)

MEMORY: Final = Row(
    "Memory and disk",
    (
        Panel(
            title="Held in memory",
            description="By place, of all workers: memory (bodies and decisions), open_traces "
            "(their summaries), undelivered, inbox (polled, not folded), rocksdb_memory "
            "(memtables and cache); and what storage.memory allows.",
            unit=Unit.BYTES,
            queries=(
                Query(f"sum by (where) ({HELD}{{{IN_MEMORY}}})", "{{where}}"),
                Query(f"sum({_budget('memory')})", "budget"),
            ),
        ),
        Panel(
            title="Spilled, and on disk",
            description="rocksdb: bodies and decisions that spilled. disk: the files; what was "
            "discarded counts until it is compacted. And what storage.disk allows.",
            unit=Unit.BYTES,
            queries=(
                Query(f'sum by (where) ({HELD}{{{WORKERS}, where=~"rocksdb|disk"}})', "{{where}}"),
                Query(f"sum({_budget('disk')})", "budget"),
            ),
        ),
        Panel(
            title="RocksDB's memory",
            description="Memtables and block cache, by worker: bounded by its share of "
            "storage.memory.",
            unit=Unit.BYTES,
            queries=(Query(f"sum {PER_WORKER} ({_held('rocksdb_memory')})", "{{instance}}"),),
        ),
        Panel(
            title="Limits of a worker reached",
            description="Traces decided early for want of room: open_traces_max, storage_memory "
            "(trigger overload), storage_disk (trigger disk_limit).",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    rate(
                        "tailstream_limit_reached_total",
                        by=f'{WORKERS}, limit=~"open_traces_max|storage_.*"',
                        labels="limit",
                    ),
                    "{{limit}}",
                ),
            ),
        ),
    ),
)

PROCESS: Final = Row(
    "Processes",
    (
        Panel(
            title="CPU",
            description="Cores in use by worker, all threads.",
            unit=Unit.CORES,
            queries=(Query(rate(CPU, by=WORKERS, labels="instance"), "{{instance}}"),),
        ),
        Panel(
            title="CPU a span",
            description="Processor time divided by spans read. It rises where bodies spill, where "
            "traces are short, where more is kept; and where the slow core runs (see below).",
            unit=Unit.MICROSECONDS,
            queries=(
                Query(
                    f"1e6 * {rate(CPU, by=WORKERS, labels='instance')}"
                    f" / ({rate(RECEIVED, by=WORKERS, labels='instance')} > 0)",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            title="Resident memory",
            description="Of each process. It should stay at storage.memory and 150 MiB.",
            unit=Unit.BYTES,
            queries=(Query(f"process_resident_memory_bytes{{{WORKERS}}}", "{{instance}}"),),
        ),
        Panel(
            title="Open files",
            description="File descriptors of each process: connections to brokers, RocksDB's "
            "files (at most 512).",
            unit=Unit.NUMBER,
            queries=(Query(f"process_open_fds{{{WORKERS}}}", "{{instance}}"),),
            decimals=0,
        ),
    ),
)

OPEN: Final = Row(
    "Open traces",
    (
        Panel(
            title="Open traces",
            description="Traces that are not decided yet, by partition: about the rate of new "
            "traces times the window. One far above the others is a hot partition.",
            unit=Unit.NUMBER,
            queries=(Query(by_partition("tailstream_open_traces"), "{{partition}}"),),
        ),
        Panel(
            title="Open spans",
            description="Spans received whose outcome has not committed, by partition.",
            unit=Unit.NUMBER,
            queries=(Query(by_partition("tailstream_open_spans"), "{{partition}}"),),
        ),
    ),
)

WHAT_RUNS: Final = Row(
    "What runs",
    (
        Panel(
            title="Versions",
            description="How many workers run which release; compiled=false is the slow core.",
            unit=Unit.NUMBER,
            queries=(Query(f"count by (version, compiled) (tailstream_build_info{{{WORKERS}}})"),),
            kind=Kind.TABLE,
            height=5,
        ),
        Panel(
            title="Policies",
            description="How many workers decide by which policies (their hash). Two rows: a "
            "rolling change is under way, or was left half done.",
            unit=Unit.NUMBER,
            queries=(Query(f"count by (hash) (tailstream_config_info{{{WORKERS}}})"),),
            kind=Kind.TABLE,
            height=5,
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="tailstream-resources",
    title="Tailstream / Resources",
    description="Memory and its budget, what spills, RocksDB, CPU a span.",
    variables=(JOB, INSTANCE, PARTITION),
    rows=(NOW, MEMORY, PROCESS, OPEN, WHAT_RUNS),
)
