"""`python -m stream.demo.worker_child PARENT ARGUMENT...`: `tailstream`, ended with its parent.

On Linux the kernel kills this process when its parent ends in any way (prctl(2), PR_SET_PDEATHSIG).
Elsewhere only a parent that is killed with SIGKILL leaves it behind.
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have the kernel end this process when its parent, of that id, has ended."""
    if sys.platform == "linux":
        # What it holds is worth nothing without the demo: no time to commit is needed.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the demo has ended")


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    sys.argv = ["tailstream", *sys.argv[2:]]
    runpy.run_module("stream.cli", run_name="__main__")
