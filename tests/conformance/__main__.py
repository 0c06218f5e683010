"""Records the Collector's verdicts anew: `make conformance-record`. Needs Go, and some minutes.

Everything is recorded until two recordings say the same of it.
"""

import contextlib
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from tests.bench.peer.build import NoCollectorError, collector, version_of
from tests.conformance.collector import Collector, NotStartedError
from tests.conformance.configurations import HERE, Configuration, configurations, starts
from tests.conformance.corpus import CORPORA, corpus
from tests.conformance.recording import FILE, Recording, entry, told, write

MANIFEST: Final = HERE / "builder.yaml"
TOGETHER: Final = 12
"""Pipelines of one process: a trace is copied for each, and all wait for the slowest."""
RECORDINGS_MAX: Final = 6
BETWEEN_S: Final = 14.0
"""From the first phase's start to the late one's: more than any wait that is to pass between."""


def main() -> None:
    """Record."""
    console = Console(stderr=True)
    try:
        binary = collector(console, MANIFEST)
    except NoCollectorError as missing:
        raise SystemExit(f"{missing}\nThe replay needs no Collector: make conformance") from None
    verdicts = _agreed(binary, console.print)
    digests = {name: corpus(name).digest for name in CORPORA}
    version = version_of(MANIFEST)["tailsamplingprocessor"]
    write(Recording(version, digests, verdicts, _starts(binary, console.print)))
    console.print(f"{len(verdicts)} configurations of tail_sampling {version}: {FILE.name}")


def _agreed(binary: Path, say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """Return what was recorded twice of each configuration; nothing is written if one never is."""
    seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
    agreed: dict[str, dict[str, Any]] = {}
    left = list(configurations().values())
    for _ in range(RECORDINGS_MAX):
        for name, found in _verdicts(binary, left, say).items():
            if found in seen[name]:
                agreed[name] = found
            seen[name].append(found)
        left = [each for each in left if each.name not in agreed]
        if not left:
            return agreed
    names = ", ".join(each.name for each in left)
    raise SystemExit(f"no two of {RECORDINGS_MAX} recordings agree on {names}: nothing is written")


def _verdicts(
    binary: Path, left: list[Configuration], say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for group in _groups(left):
        began_s = time.monotonic()
        found |= _recorded(binary, group)
        names = f"{group[0].name} ... {group[-1].name}"
        say(f"{len(group)} configurations in {time.monotonic() - began_s:.0f} s: {names}")
    return found


def _groups(left: list[Configuration]) -> Iterator[tuple[Configuration, ...]]:
    """Yield configurations that one process can have, as many as it should."""

    def kind(configuration: Configuration) -> tuple[str, str, bool]:
        return configuration.corpus, configuration.gate, configuration.waits

    for _, alike in groupby(sorted(left, key=kind), key=kind):
        group = tuple(alike)
        yield from (group[at : at + TOGETHER] for at in range(0, len(group), TOGETHER))


def _recorded(binary: Path, group: Sequence[Configuration]) -> dict[str, dict[str, Any]]:
    source = corpus(group[0].corpus)
    blocks = {each.name: each.for_the_collector() for each in group}
    with (
        tempfile.TemporaryDirectory(prefix="tailstream-conformance-") as home,
        contextlib.closing(Collector(binary, blocks, Path(home), [group[0].gate])) as running,
    ):
        running.wait()
        began_s = time.monotonic()
        running.feed(source.messages)
        if group[0].waits:
            took_s = time.monotonic() - began_s
            assert took_s < BETWEEN_S / 3, f"a phase took {took_s:.0f} s: a wait may pass within it"
            time.sleep(BETWEEN_S - took_s)
        running.feed(source.late)
        if group[0].compare != "verdicts":
            time.sleep(1 - time.time() % 1)  # what `composite` counts begins with each second
        running.stop()
        return {each.name: _entry(each, running.kept(each.name)) for each in group}


def _entry(configuration: Configuration, kept: dict[bytes, str]) -> dict[str, Any]:
    source = corpus(configuration.corpus)
    assert kept.keys() <= set(source.trace_ids)
    verdicts = [kept.get(trace_id, "") for trace_id in source.trace_ids]
    return entry(configuration, told(configuration, source, verdicts))


def _starts(binary: Path, say: Callable[[str], None]) -> dict[str, bool]:
    found = {name: _does_start(binary, name) for name in starts()}
    say(f"{sum(found.values())} of {len(found)} odd blocks start")
    return found


def _does_start(binary: Path, name: str) -> bool:
    with (
        tempfile.TemporaryDirectory(prefix="tailstream-conformance-") as home,
        contextlib.closing(Collector(binary, {name: starts()[name].block}, Path(home))) as running,
    ):
        try:
            running.wait()
        except NotStartedError:
            return False
        return True


if __name__ == "__main__":
    main()
