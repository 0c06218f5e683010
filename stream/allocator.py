"""What keeps the process's memory near what is accounted for: glibc's malloc, told to give back.

By default glibc gives each thread an arena of its own, and raises by itself the size above which a
block is mapped apart and so goes back to the system when it is freed. Bodies are allocated on the
poll thread and freed on the loop, and buffers of megabytes come and go between them: measured, 40
to 60 MiB of holes at a budget of 64 MiB.
"""

import ctypes
import sys

# From glibc's malloc.h, mallopt(3).
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

ARENAS = 2
THRESHOLD_BYTES = 128 * 1024


def give_back() -> bool:
    """Bound malloc's holes for the rest of this process; False where it is not glibc's.

    Call it before threads are started: arenas that are there stay.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = (
        (M_ARENA_MAX, ARENAS),
        (M_MMAP_THRESHOLD, THRESHOLD_BYTES),
        (M_TRIM_THRESHOLD, THRESHOLD_BYTES),
    )
    # musl has a mallopt in some builds that refuses everything: nothing is lost.
    return all(mallopt(option, value) == 1 for option, value in wanted)
