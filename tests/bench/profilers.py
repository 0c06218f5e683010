"""Two profilers that look at a worker from outside: py-spy (Python frames too) and Linux perf."""

import contextlib
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol, Self

from tests.bench.stacks import Sample, of_perf, of_py_spy, waits

PY_SPY = Path(sys.executable).with_name("py-spy")
PY_SPY_HZ = 100
"""More is not more: it stops the process for each sample, and 400 Hz made a worker's CPU thrice."""
PERF_HZ = 499
STACK_BYTES = 16_384
"""Of a thread's stack that perf copies at each sample, to unwind it later."""
ATTACH_TIMEOUT_S = 30.0
END_TIMEOUT_S = 120.0
LOOK_EVERY_S = 0.05


class ProfilerError(Exception):
    """A profiler is missing, or may not look; says what to do."""


class Profiler(Protocol):
    """Sees one process from `attach` to its end."""

    name: str

    def attach(self, pid: int) -> None:
        """Return when it samples. Raises ProfilerError."""

    def samples(self) -> list[Sample]:
        """Return what it saw, once the process has ended. Raises ProfilerError."""

    def close(self) -> None:
        """Leave no process behind."""


class PySpy:
    """Python's frames and native ones in one stack; threads that run Python only.

    Samples of waiting threads are left out.
    """

    name = "py-spy"

    def __init__(self, directory: Path, *, hz: int = PY_SPY_HZ) -> None:
        self._output, self._log = directory / "py-spy.txt", directory / "py-spy.log"
        self._hz = hz
        self._child: subprocess.Popen[bytes] | None = None

    @classmethod
    def found(cls) -> type[Self]:
        """Return the class. Raises ProfilerError where it cannot be used."""
        if not PY_SPY.exists():
            raise ProfilerError(f"there is no py-spy beside {sys.executable}: run `make profile`")
        return cls

    def attach(self, pid: int) -> None:
        options = ["--native", "--threads", "--nolineno", "--format", "raw"]
        places = ["--pid", str(pid), "--rate", str(self._hz), "--output", str(self._output)]
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                [str(PY_SPY), "record", *options, *places], stdout=log, stderr=log
            )
        until_s = time.monotonic() + ATTACH_TIMEOUT_S
        while b"Sampling process" not in self._log.read_bytes():
            if self._child.poll() is not None or time.monotonic() > until_s:
                raise ProfilerError(
                    f"py-spy cannot look at the worker; it needs the right to trace another "
                    f"process: run as root, or `sysctl kernel.yama.ptrace_scope=0`.\n{self._told()}"
                )
            time.sleep(LOOK_EVERY_S)

    def samples(self) -> list[Sample]:
        assert self._child is not None, "not attached"
        code = self._child.wait(END_TIMEOUT_S)
        if code or not self._output.exists():
            raise ProfilerError(f"py-spy ended with {code}:\n{self._told()}")
        seen = of_py_spy(self._output.read_text())
        return [sample for sample in seen if not waits(sample.stack)]

    def close(self) -> None:
        _end(self._child)

    def _told(self) -> str:
        return self._log.read_text(errors="replace").strip()


class Perf:
    """Native frames of every thread, the kernel's too where it may; on a CPU, never waiting."""

    name = "perf"

    def __init__(self, directory: Path, *, hz: int = PERF_HZ) -> None:
        self._output, self._log = directory / "perf.data", directory / "perf.log"
        self._hz = hz
        self._child: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._pipes: list[int] = []

    @classmethod
    def found(cls) -> type[Self]:
        """Return the class. Raises ProfilerError where it is not installed."""
        if shutil.which("perf") is None:
            raise ProfilerError(
                "perf is not installed, which alone sees librdkafka's and RocksDB's threads: "
                "install it (Debian: linux-perf; Ubuntu: linux-tools-generic; Fedora: perf), "
                "or do without them: make profile PERF=0"
            )
        return cls

    def attach(self, pid: int) -> None:
        self._pid = pid
        orders, ours = os.pipe()
        answers, theirs = os.pipe()
        options = ["-e", "cpu-clock", "-F", str(self._hz), "--call-graph", f"dwarf,{STACK_BYTES}"]
        # It begins when it is told to, and says so.
        control = ["--delay=-1", f"--control=fd:{orders},{theirs}"]
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                ["perf", "record", "-p", str(pid), *options, *control, "-o", str(self._output)],
                stdout=log,
                stderr=log,
                pass_fds=(orders, theirs),
            )
        os.close(orders)
        os.close(theirs)
        # They stay open until it has ended: perf loses count of its own files if one closes.
        self._pipes = [ours, answers]
        with contextlib.suppress(BrokenPipeError):  # it has ended: no answer comes either
            os.write(ours, b"enable\n")
        ready, _, _ = select.select([answers], [], [], ATTACH_TIMEOUT_S)
        if not ready or not os.read(answers, 64).startswith(b"ack"):
            raise ProfilerError(
                f"perf cannot look at the worker: run as root, or `sysctl "
                f"kernel.perf_event_paranoid=1`; or do without it: make profile PERF=0\n"
                f"{self._told()}"
            )

    def samples(self) -> list[Sample]:
        assert self._child is not None, "not attached"
        code = self._child.wait(END_TIMEOUT_S)
        if code:
            raise ProfilerError(f"perf ended with {code}:\n{self._told()}")
        fields = ["-F", "comm,tid,ip,sym,dso"]
        script = subprocess.run(
            ["perf", "script", "--no-inline", "-i", str(self._output), *fields],
            capture_output=True,
            check=False,
        )
        if script.returncode:
            raise ProfilerError(f"perf script failed:\n{script.stderr.decode(errors='replace')}")
        return list(of_perf(script.stdout.decode(errors="replace"), pid=self._pid))

    def close(self) -> None:
        _end(self._child)
        while self._pipes:
            os.close(self._pipes.pop())

    def _told(self) -> str:
        return self._log.read_text(errors="replace").strip()


def _end(child: subprocess.Popen[bytes] | None) -> None:
    if child is not None and child.poll() is None:
        child.kill()
        child.wait()
