"""What profilers saw, as stacks by stage: from py-spy's lines and `perf script`'s blocks."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.bench.process_cpu import MAIN, role_of

Stack = tuple[str, ...]
"""Frames, the outermost first, each as `function (file)`, or `[file]` where it has no name."""
Stacks = Counter[Stack]

POLL = role_of("tailstream-poll")
LIBRDKAFKA = role_of("rdk:")
ROCKSDB = role_of("rocksdb:")


@dataclass(frozen=True, slots=True)
class Sample:
    """`count` times a thread of this role was seen at this stack."""

    role: str
    stack: Stack
    count: int = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the work of one role's threads, and what it does."""

    name: str
    role: str
    text: str


STAGES = [
    Stage("consume", POLL, "consume(), and what frees its messages"),
    Stage("receive", POLL, "Receiver.receive less scan"),
    Stage("scan", POLL, "scan of every record"),
    Stage("poll", POLL, "the rest of the poll thread"),
    Stage("fold", MAIN, "advance, cut, judge, hold"),
    Stage("plan", MAIN, "Worker.plan: merge, stamp, decision records"),
    Stage("settle", MAIN, "Worker.committed: remember, forget"),
    Stage("measure", MAIN, "metrics"),
    Stage("loop", MAIN, "the rest: Faust, asyncio, the host"),
    Stage("transactions", role_of("tailstream-tran"), "produce, flush, commit"),
    Stage("reading", role_of("tailstream-read"), "ends of the log"),
    Stage("restore", role_of("tailstream-rest"), "decisions, read back"),
    Stage("librdkafka", LIBRDKAFKA, "fetch, send, compress"),
    Stage("rocksdb", ROCKSDB, "flush, compact"),
]

# Where a stage begins, by py-spy's names and by perf's: of a stack the innermost of these counts.
_BEGINNINGS = {
    POLL: {
        "Consumer_consume": "consume",
        "Message_dealloc": "consume",
        "Receiver.receive": "receive",
        "Received_scan": "scan",
        "stream.kafka._receive.receive": "receive",
        "stream.kafka._receive.Received.scan": "scan",
    },
    MAIN: {
        "Worker.fold": "fold",
        "TailSampler.idle": "fold",
        "Worker.plan": "plan",
        "Worker.committed": "settle",
        "Measurements.committed": "measure",
        "Host.measure": "measure",
        "Host.stopped": "",  # its end is no part of the work
    },
}
_RESTS = {POLL: "poll", MAIN: "loop"}
# What lies below all the work of a thread, and tells nothing of it.
_BELOW = frozenset(
    {"PollThread.run", "BaseEventLoop._run_once", "_worker", "_WorkItem.run", "Thread.run"}
)
_WAITS = frozenset(
    {
        "epoll_wait",
        "epoll_pwait",
        "poll",
        "ppoll",
        "select",
        "clock_nanosleep",
        "nanosleep",
        "pthread_cond_wait",
        "pthread_cond_timedwait",
        "pthread_cond_clockwait",
        "cnd_wait",
        "cnd_timedwait",
        "sem_wait",
        "sem_timedwait",
        "sem_clockwait",
        "PyThread_acquire_lock_timed",
        "select_epoll_poll_impl",
        "take_gil",
    }
)
_PY_SPY_THREAD = re.compile(r"thread \(\w+\)(?:: (?P<name>.*))?")
_ADDRESS = re.compile(r"0x[0-9a-f]+ \((?P<file>.*)\)")
# What a compiler makes of one function, and what is the same for every extension's file.
_VARIANT = re.compile(r"\.(?:isra|constprop|part|cold|lto_priv|localalias)\b[.\d]*")
_PLATFORM = re.compile(r"\.cpython-[\w-]+(?=\.so)")
_CYTHON = re.compile(r"__pyx_(?P<kind>[a-z]+)_(?:[a-z]+_)*(?P<path>\d\w*)")
_WRAPPERS = frozenset({"pw", "gb"})  # their last name has a number before it, no length


def of_py_spy(text: str) -> Iterator[Sample]:
    """Yield the samples of `py-spy record --format raw --threads --nolineno`, waiting threads too.

    A line is `thread (ID): NAME;frame;...;frame COUNT`, without a name while it begins or ends.
    """
    for line in text.splitlines():
        folded, _, count = line.rpartition(" ")
        thread, *frames = folded.split(";")
        told = _PY_SPY_THREAD.fullmatch(thread)
        assert told, f"py-spy's lines have changed: {line[:80]}"
        yield Sample(_role(told["name"] or ""), tuple(map(_of_py_spy, frames)), int(count))


def of_perf(text: str, *, pid: int) -> Iterator[Sample]:
    """Yield the samples of `perf script -F comm,tid,ip,sym,dso` of the process `pid`.

    A block is `COMM TID`, then a line `ADDRESS SYMBOL (FILE)` a frame, the innermost first.
    """
    for block in text.split("\n\n"):
        head, *lines = block.strip("\n").splitlines() or [""]
        comm, _, tid = head.strip().rpartition(" ")
        if lines:
            role = MAIN if int(tid) == pid else _role(comm.strip())
            yield Sample(role, tuple(_of_perf(line) for line in reversed(lines)))


def waits(stack: Stack) -> bool:
    """Tell whether a thread does nothing at this stack, but wait to be woken or for the GIL.

    py-spy takes such a thread for running, where it was stopped between two system calls.
    """
    named = (function_of(frame) for frame in reversed(stack) if not frame.startswith("["))
    return next(named, "") in _WAITS


def by_stage(samples: Iterable[Sample]) -> dict[str, Stacks]:
    """Return the stacks of every stage that was seen, each from where the stage begins."""
    found: dict[str, Stacks] = {stage.name: Stacks() for stage in STAGES}
    for sample in samples:
        name, stack = stage_of(sample)
        if name:
            found[name][stack] += sample.count
    return {name: _from_where_they_part(stacks) for name, stacks in found.items() if stacks}


def stage_of(sample: Sample) -> tuple[str, Stack]:
    """Return the stage a sample belongs to, "" for none, and its stack from where that begins."""
    stack = sample.stack
    beginnings = _BEGINNINGS.get(sample.role, {})
    below = 0
    for place in range(len(stack) - 1, -1, -1):
        name = function_of(stack[place])
        if name in beginnings:
            return beginnings[name], stack[place:]
        if name in _BELOW and not below:
            below = place + 1
    if sample.role in _RESTS:
        return _RESTS[sample.role], stack[below:] or stack
    names = [stage.name for stage in STAGES if stage.role == sample.role]
    return names[0] if names else "", stack[below:] or stack


def self_counts(stacks: Stacks) -> Counter[str]:
    """Return how often each frame was the innermost."""
    counts: Counter[str] = Counter()
    for stack, count in stacks.items():
        counts[stack[-1]] += count
    return counts


def function_of(frame: str) -> str:
    """Return a frame's function, without its file."""
    return frame.partition(" (")[0]


def plain(symbol: str) -> str:
    """Return a symbol of C as a reader knows it: Cython's names demangled, no variants.

    `__pyx_f_6stream_8sampling_5_fold_5State_advance` is `stream.sampling._fold.State.advance`.
    """
    symbol = _VARIANT.sub("", symbol)
    told = _CYTHON.fullmatch(symbol)
    if told is None:
        return symbol
    path, last, names = told["path"], "", []
    if told["kind"] in _WRAPPERS and (numbered := re.fullmatch(r"(.*)_\d+([A-Za-z_]\w*)", path)):
        path, last = numbered.groups()
    while length := re.match(r"\d+", path):
        end = length.end() + int(length[0])
        if path[end : end + 1] not in ("", "_"):
            break  # it was a number, no length
        names.append(path[length.end() : end])
        path = path[end + 1 :]
    return ".".join(filter(None, [*names, path.lstrip("0123456789"), last]))


def _from_where_they_part(stacks: Stacks) -> Stacks:
    """Leave out what all have in common at the bottom, but for one frame."""
    common = 0
    shortest = min(map(len, stacks))
    first = next(iter(stacks))
    while common < shortest and all(stack[common] == first[common] for stack in stacks):
        common += 1
    parted = Stacks()
    for stack, count in stacks.items():
        parted[stack[max(0, common - 1) :]] += count
    return parted


def _role(thread: str) -> str:
    return MAIN if thread == "MainThread" else role_of(thread)


def _of_py_spy(frame: str) -> str:
    frame = _PLATFORM.sub("", frame)
    nameless = _ADDRESS.fullmatch(frame)
    return f"[{nameless['file']}]" if nameless else _VARIANT.sub("", frame)


def _of_perf(line: str) -> str:
    symbol, _, file = line.strip().partition(" ")[2].rpartition("(")
    file = _PLATFORM.sub("", file.removesuffix(")").rpartition("/")[2])
    file = "kernel" if file == "[kernel.kallsyms]" else file.strip("[]")
    # Of a C++ function its arguments are left out, of glibc's its version.
    symbol = symbol.replace("(anonymous namespace)", "{anonymous}").partition("(")[0]
    symbol = plain(symbol.partition("@")[0].strip())
    return f"[{file}]" if symbol in ("", "[unknown]") else f"{symbol} ({file})"
