"""The same topic, the same policies, turn by turn: the Collector and Tailstream."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench import report
from tests.bench.figures import Figures, figures, markdown, ratios, spread
from tests.bench.peer.collector import STRONGEST
from tests.bench.peer.run import CollectorRun, run_collector
from tests.bench.preload import Loaded
from tests.bench.worker_run import Variant, WorkerRun, run_worker

MIB = 1 << 20
Tree = dict[str, Any]


@dataclass(slots=True)
class Comparison:
    """The runs over one loaded topic."""

    loaded: Loaded
    peer: list[CollectorRun] = field(default_factory=list)
    ours: dict[str, list[WorkerRun]] = field(default_factory=dict)

    def round(self, binary: Path, variants: Sequence[Variant], *, peer_first: bool) -> None:
        """Run each once. Who goes first changes, so that neither always follows the other."""
        if peer_first:
            self.peer.append(run_collector(binary, self.loaded))
        for variant in variants:
            self.ours.setdefault(variant.name, []).append(run_worker(self.loaded, variant))
        if not peer_first:
            self.peer.append(run_collector(binary, self.loaded))

    def tree(self) -> Tree:
        """Return all figures of this topic."""
        spans = self.loaded.expected.spans
        peer_us = figures(run.cpu_us / spans for run in self.peer)
        return {
            **report.corpus_told(self.loaded),
            "compression": self.loaded.compression,
            "rounds": len(self.peer),
            "peer": {
                "cpu_us_a_span": peer_us,
                "spans_a_cpu_second": round(1_000_000 / peer_us["median"]),
                "peak_rss_mib_in_the_backlog": figures(
                    run.peak_rss_bytes / MIB for run in self.peer
                ),
                "kept": [run.told for run in self.peer],
            },
            "ours": {name: _side(runs, spans, peer_us) for name, runs in self.ours.items()},
        }


def compare(
    binary: Path, loaded: Loaded, variants: Sequence[Variant], rounds: int, console: Console
) -> Tree:
    """Run `rounds` rounds over a topic; return their figures.

    Raises:
        WrongOutputError: Tailstream did not keep what the policies keep. (What the Collector kept
            is told, not judged.)
    """
    comparison = Comparison(loaded)
    for number in range(rounds):
        comparison.round(binary, variants, peer_first=number % 2 == 0)
        told = [f"{STRONGEST.name} {comparison.peer[-1].cpu_us / loaded.expected.spans:.2f}"]
        told += [
            f"{name} ({runs[-1].core}) {runs[-1].cpu.total_us / loaded.expected.spans:.2f}"
            for name, runs in comparison.ours.items()
        ]
        console.print(
            f"{loaded.shape.name}, {loaded.compression}, round {number + 1} of {rounds}: "
            f"{', '.join(told)} µs a span"
        )
    return comparison.tree()


def tables(sections: Sequence[Tree]) -> str:
    """Return the Markdown of all topics."""
    head = [
        "corpus",
        "sampler",
        "core",
        "CPU µs a span, median (range)",
        "times less than the Collector",
        "with its start",
        "n",
    ]
    rows = []
    for section in sections:
        name = f"{section['corpus']['shape']}, {section['compression']}"
        peer, rounds = section["peer"], str(section["rounds"])
        rows.append([name, "Collector", "Go", spread(peer["cpu_us_a_span"]), "1", "", rounds])
        for variant, side in section["ours"].items():
            rows.append(
                [
                    name,
                    f"`{variant}`",
                    side["core"],
                    spread(side["cpu_us_a_span"]),
                    spread(side["times_less"], digits=1),
                    spread(side["cpu_us_a_span_with_start"]),
                    rounds,
                ]
            )
    return markdown(head, rows) + "\n" + "\n".join(_kept(section) for section in sections) + "\n"


def _side(runs: list[WorkerRun], spans: int, peer_us: Figures) -> Tree:
    cpu = figures(run.cpu.total_us / spans for run in runs)
    return {
        "core": "/".join(sorted({run.core for run in runs})),
        "cpu_us_a_span": cpu,
        "cpu_us_a_span_with_start": figures(
            (run.cpu.total_us + run.start_cpu_us) / spans for run in runs
        ),
        "times_less": ratios(peer_us, cpu),
        "spans_a_cpu_second": round(1_000_000 / cpu["median"]),
        "spans_a_second": figures(run.spans_a_second for run in runs),
        "peak_rss_mib_in_the_backlog": figures(run.peak_rss_bytes / MIB for run in runs),
    }


def _kept(section: Tree) -> str:
    corpus, kept = section["corpus"], section["kept"]
    theirs = "; ".join(dict.fromkeys(section["peer"]["kept"]))
    return (
        f"* {corpus['shape']}, {section['compression']}: {corpus['spans']:,} spans in "
        f"{corpus['records']:,} records ({corpus['spans_a_record']:.2f} a record, "
        f"{corpus['bytes_a_span']:.0f} B a span), {kept['traces']:,} of {corpus['traces']:,} "
        f"traces to keep ({kept['share_of_spans']:.1%} of the spans). "
        f"Kept by Tailstream: all, whole. Kept by the Collector: {theirs}."
    )
