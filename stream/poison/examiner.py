"""Scans records one by one in a child process, to learn which of them kill it."""

import os
import pickle
import select
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from stream import clock
from stream.kafka.closing import Closing
from stream.poison.child import LENGTH, SURVIVED
from stream.settings.tail_sampling import TailSampling

RECORD_S = 30.0
START_S = 60.0
MEMORY_BYTES = 2 << 30


class NoChildError(Exception):
    """The child does not even scan a record without a span: it says nothing of others."""


class Examiner(Closing):
    """Asks children. `scan` must be importable by its name, as a function of a module.

    A child that takes longer than `record_s` for a record, or more than `memory_bytes` of address
    space, has died of it.
    """

    def __init__(
        self,
        scan: Callable[..., Any],
        sampling: TailSampling,
        *,
        as_collector: bool = False,
        record_s: float = RECORD_S,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._orders = pickle.dumps((scan, sampling, as_collector))
        self._record_s = record_s
        self._memory_bytes = memory_bytes
        self._child: subprocess.Popen[bytes] | None = None

    def kills(self, value: bytes) -> bool:
        """Return whether the scan of this record kills a child, and a second one as well.

        Raises:
            NoChildError: no child can be started.
        """
        return self._dies_of(value) and self._dies_of(value)

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()

    def _dies_of(self, value: bytes) -> bool:
        child = self._child or self._start()
        if self._answers(child, LENGTH.pack(len(value)) + value, self._record_s):
            return False
        self.close()
        return True

    def _start(self) -> "subprocess.Popen[bytes]":
        # What this process can import, the child must find as well.
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._child = child = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "stream.poison.child", str(self._memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=env,
        )
        if not self._answers(child, self._orders, START_S):
            self.close()
            raise NoChildError("the child that scans does not start")
        return child

    def _answers(self, child: "subprocess.Popen[bytes]", request: bytes, timeout_s: float) -> bool:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            rest = memoryview(request)
            while rest:
                rest = rest[child.stdin.write(rest) :]
        except BrokenPipeError:
            return False
        until_s = clock.monotonic_s() + timeout_s
        waiting = select.poll()
        waiting.register(child.stdout, select.POLLIN)
        while (left_s := until_s - clock.monotonic_s()) > 0:
            if waiting.poll(left_s * 1000):
                return child.stdout.read(len(SURVIVED)) == SURVIVED
        return False
