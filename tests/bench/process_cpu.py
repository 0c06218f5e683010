"""What a process has cost so far, as Linux counts it in /proc."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
ENDED = "ended threads, rounding"

# What the first characters of a thread's name say of its work.
ROLES = {
    "tailstream-poll": "poll thread: consume, receive, scan",
    "tailstream-tran": "transaction thread: produce, flush, commit",
    "tailstream-read": "reading thread: ends of the log",
    "tailstream-rest": "restore threads",
    "rdk:": "librdkafka's threads",
    "rocksdb:": "RocksDB's threads",
}
MAIN = "main thread: Faust's loop, fold, plan, settle"
OTHER = "other threads"


@dataclass(frozen=True, slots=True)
class ProcessCpu:
    """CPU of a process since its start, in microseconds: user and system, all threads.

    `total_us` holds threads that have ended too; `threads_us` those that live, by their role.
    """

    total_us: int
    threads_us: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, pid: int) -> "ProcessCpu":
        """Read it now. Raises FileNotFoundError once the process is gone."""
        threads: Counter[str] = Counter()
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                name = (task / "comm").read_text().strip()
                on_cpu_ns = int((task / "schedstat").read_text().split()[0])
                threads[MAIN if int(task.name) == pid else role_of(name)] += on_cpu_ns // 1000
        # After the name, in parentheses: fields 14 and 15 of proc(5), counted from 1.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return cls((int(fields[11]) + int(fields[12])) * TICK_US, threads)

    def since(self, before: "ProcessCpu") -> "ProcessCpu":
        """Return what it cost from `before` to here; what no living thread had is named too."""
        total_us = self.total_us - before.total_us
        threads = Counter(self.threads_us)
        threads.subtract(before.threads_us)
        threads[ENDED] = total_us - sum(threads.values())
        return ProcessCpu(total_us, threads)

    @classmethod
    def sum_of(cls, each: Iterable["ProcessCpu"]) -> "ProcessCpu":
        """Return what several processes cost together."""
        total_us, threads = 0, Counter[str]()
        for one in each:
            total_us += one.total_us
            threads.update(one.threads_us)
        return cls(total_us, threads)


def role_of(thread: str) -> str:
    """Return what a thread of this name does, unless it is the main one."""
    return next((role for prefix, role in ROLES.items() if thread.startswith(prefix)), OTHER)


def peak_rss_bytes(pid: int) -> int:
    """Return the most memory that the process has had resident."""
    return _status_bytes(pid, "VmHWM:")


def rss_bytes(pid: int) -> int:
    """Return the memory that the process has resident now."""
    return _status_bytes(pid, "VmRSS:")


def _status_bytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this kernel does not tell {name}")
