"""What keeps the process's memory near what is accounted for: glibc's malloc, told to give back.

By default glibc gives each thread an arena of its own, and raises by itself the size above which a
block is mapped apart and so goes back to the system when it is freed. Bodies are allocated on the
poll thread and freed on the loop, and buffers of megabytes come and go between them: measured, 40
to 60 MiB of holes at a budget of 64 MiB.

What goes back is asked for again a moment later, page by page, each zeroed: a third of a worker's
CPU (RATIONALE). So where the budget is large some is kept.
"""

import ctypes
import sys

# From glibc's malloc.h, mallopt(3).
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

ARENAS = 2
THRESHOLD_BYTES = 128 * 1024

KEEPS_FROM_BYTES = 256 << 20
KEPT_SHARE = 8
KEPT_BYTES_MAX = 64 << 20


def give_back(memory_bytes: int) -> bool:
    """Bound malloc's holes for the rest of this process; False where it is not glibc's.

    `memory_bytes` is `storage.memory`: from 256 MiB on, each arena keeps an eighth of it, 64 MiB at
    most, and what the client fetches at once is not mapped apart. Call it before threads are
    started: arenas that are there stay.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    kept_bytes = min(KEPT_BYTES_MAX, memory_bytes // KEPT_SHARE)
    trim_bytes, mapped_bytes = kept_bytes, kept_bytes // 2
    if memory_bytes < KEEPS_FROM_BYTES:
        trim_bytes = mapped_bytes = THRESHOLD_BYTES
    wanted = (
        (M_ARENA_MAX, ARENAS),
        (M_MMAP_THRESHOLD, mapped_bytes),
        (M_TRIM_THRESHOLD, trim_bytes),
    )
    # musl has a mallopt in some builds that refuses everything: nothing is lost.
    return all(mallopt(option, value) == 1 for option, value in wanted)
