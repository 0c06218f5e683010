"""Gives the worker's threads their Python names in the kernel, as Python 3.14 does by itself.

Put on the path of the process that is measured. It acts when a thread starts, at no other time.
"""

import sys
import threading
from pathlib import Path
from typing import Any

COMM_BYTES_MAX = 15

if sys.version_info < (3, 14):
    thread_class: Any = threading.Thread
    # Not `run`: threads of a class of their own override it.
    begin = thread_class._bootstrap_inner

    def named_begin(thread: threading.Thread) -> None:
        comm = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
        comm.write_text(thread.name[:COMM_BYTES_MAX])
        begin(thread)

    thread_class._bootstrap_inner = named_begin
