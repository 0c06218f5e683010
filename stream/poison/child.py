"""`python -m stream.poison.child`: scans the records that come by its input, one by one.

The protocol: a pickle of (scan, sampling, as_collector) first, answered by one byte once a record
without a span has been scanned; then each record as its length (uint32, little endian) and its
bytes, answered by one byte when the scan has returned. Whatever else happens is this process's end.
"""

import os
import pickle
import resource
import sys
from struct import Struct

from stream.sampling.matcher import Matcher
from stream.settings.compiled import policies_of

LENGTH = Struct("<I")
SURVIVED = b"s"
NO_SPAN = b"\x0a\x00"
"""A `TracesData` with one `ResourceSpans` that is empty."""


def main() -> None:
    """Scan until the input ends. The first argument bounds the memory, in bytes."""
    memory_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The answers have a pipe of their own: a scanner that prints must not be taken for one.
    answers = os.dup(sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    source = sys.stdin.buffer
    scan, sampling, as_collector = pickle.load(source)  # noqa: S301 - our own parent wrote it
    matcher = Matcher()
    policies_of(sampling, matcher, as_collector=as_collector)
    plan = matcher.plan()
    scan(NO_SPAN, plan)
    os.write(answers, SURVIVED)
    while header := source.read(LENGTH.size):
        scan(source.read(*LENGTH.unpack(header)), plan)
        os.write(answers, SURVIVED)


if __name__ == "__main__":
    main()
