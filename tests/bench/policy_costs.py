"""`make bench POLICIES=1`: what each type of policy costs a trace, without a broker.

Each is put beside `always_sample`, so that every trace is kept whatever it says, and its cost is
what scan, fold and judge take more than with `always_sample` alone. Both run in turn, neighbours in
time, over the reference corpus, and the difference of each pair counts.
"""

import gc
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from stream import app
from stream.kafka.partitioner import fnv1a
from stream.kafka.receive import Receiver
from stream.sampling.delivery import Settled
from stream.sampling.limits import Limits, OpenTracesBudget
from stream.sampling.matcher import Matcher
from stream.sampling.tail_sampler import TailSampler
from stream.settings.compiled import policies_of
from stream.settings.model import Settings
from stream.state.memory import MemoryDecisionStore, MemorySpanStore
from tests.bench.corpus import CorpusRecord, corpus
from tests.bench.figures import figures, markdown, spread
from tests.bench.policies import Policy
from tests.bench.polls import as_messages, in_polls
from tests.harness.topics import PARTITIONS

DECISION_WAIT = "5s"
MODES = ("fixed", "collector")
ALWAYS: Policy = {"name": "always", "type": "always_sample"}
Tree = dict[str, Any]


def _one(kind: str, name: str = "one", **options: object) -> Policy:
    return {"name": name, "type": kind, kind: options} if options else {"name": name, "type": kind}


_ERRORS = _one("status_code", "errors", status_codes=["ERROR"])
_SLOW = _one("latency", "slow", threshold_ms=1_000)
_ROUTE = _one("string_attribute", "route", key="http.route", values=["/healthz"])
_SERVER_ERROR = 'span.attributes["http.response.status_code"] >= 500'

POLICIES: dict[str, Policy] = {
    "always_sample": _one("always_sample"),
    "latency": _SLOW,
    "latency, upper bound": _one("latency", threshold_ms=1_000, upper_threshold_ms=5_000),
    "numeric_attribute": _one(
        "numeric_attribute", key="http.response.status_code", min_value=500, max_value=599
    ),
    "string_attribute": _ROUTE,
    "string_attribute, regex": _one(
        "string_attribute", key="url.full", values=["/carts/[0-9]+7/"], enabled_regex_matching=True
    ),
    "string_attribute, invert_match": _one(
        "string_attribute", key="http.route", values=["/healthz"], invert_match=True
    ),
    "boolean_attribute": _one("boolean_attribute", key="app.retried", value=True),
    "status_code": _ERRORS,
    "probabilistic": _one("probabilistic", sampling_percentage=5),
    "probabilistic, trace_state": _one("probabilistic", sampling_percentage=5, mode="trace_state"),
    "trace_state": _one("trace_state", key="vendor", values=["never"]),
    "trace_flags": _one("trace_flags"),
    "completeness (ours)": _one("completeness"),
    "span_count": _one("span_count", min_spans=20),
    "ottl_condition, span": _one("ottl_condition", span=[_SERVER_ERROR]),
    "ottl_condition, spanevent": _one(
        "ottl_condition", spanevent=['spanevent.name == "exception"']
    ),
    "rate_limiting": _one("rate_limiting", spans_per_second=1_000),
    "bytes_limiting": _one("bytes_limiting", bytes_per_second=1_000_000),
    "composite": _one(
        "composite",
        max_total_spans_per_second=1_000,
        policy_order=["errors", "slow"],
        composite_sub_policy=[_ERRORS, _SLOW],
        rate_allocation=[{"policy": "errors", "percent": 50}, {"policy": "slow", "percent": 50}],
    ),
    "and: latency, string_attribute": _one("and", and_sub_policy=[_SLOW, _ROUTE]),
    "not: status_code": _one("not", not_sub_policy=_ERRORS),
    "drop: latency, status_code": _one("drop", drop_sub_policy=[_SLOW, _ERRORS]),
}
"""Each type with its options, as it is written. A regex is searched in the longest value."""


@dataclass(slots=True)
class Pass:
    """The way of a corpus from its messages to judged traces, with some policies, again and again.

    The policies live as long as this, as a worker's do; the samplers are fresh each time.
    """

    policies: list[Policy]
    mode: str
    settings: Settings = field(init=False)
    receiver: Receiver = field(init=False)
    matcher: Matcher = field(init=False, default_factory=Matcher)
    judging: Any = field(init=False)
    spent_ns: int = field(init=False, default=0)
    decided: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        sampling = {"decision_wait": DECISION_WAIT, "policies": self.policies}
        tree = {"compatibility": self.mode, "tail_sampling": sampling}
        self.settings = settings = Settings.model_validate(tree)
        self.judging = policies_of(
            settings.tail_sampling, self.matcher, as_collector=settings.as_collector
        )
        self.judging.fleet.spread_over(lambda: PARTITIONS)
        self.receiver = Receiver(self.matcher.plan(), fnv1a, partitions=PARTITIONS)

    def cost_ns(self, polls: Iterable[list[CorpusRecord]]) -> int:
        """Return the CPU nanoseconds of scan, fold and judge of all; what is decided is dropped."""
        self.spent_ns = self.decided = 0
        samplers = [self._sampler() for _ in range(PARTITIONS)]
        epochs = dict.fromkeys(range(PARTITIONS), 1)
        now_ms = 0
        for poll in polls:
            messages = as_messages(poll)
            now_ms = poll[-1].timestamp_ms
            errors: list[object] = []
            with self._timed():
                for batch in self.receiver.receive(messages, epochs, errors):
                    samplers[batch.partition].fold(batch.records, wall_ms=now_ms)
            assert not errors
            self.decided += sum(map(_deliver, samplers))
        after_ms = now_ms + round(1000 * self.settings.tail_sampling.decision_wait_s) + 1_000
        with self._timed():
            for sampler in samplers:
                sampler.idle(wall_ms=after_ms, position=sampler.position)
        self.decided += sum(map(_deliver, samplers))
        return self.spent_ns

    def _sampler(self) -> TailSampler:
        return TailSampler(
            self.judging,
            windows=app._windows(self.settings),
            limits=Limits(),
            budget=OpenTracesBudget(),
            spans=MemorySpanStore(),
            decisions=MemoryDecisionStore(),
        )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        before_ns = time.thread_time_ns()
        yield
        self.spent_ns += time.thread_time_ns() - before_ns


def measure_policies(spans: int, *, seed: int, rounds: int, console: Console) -> Tree:
    """Return what every policy costs a trace, in CPU microseconds, in both modes."""
    records = list(corpus(spans, seed=seed))
    traces = len({record.key for record in records})
    polls = list(in_polls(records))
    alone = {mode: Pass([ALWAYS], mode) for mode in MODES}
    beside = {
        (name, mode): Pass([policy, ALWAYS], mode)
        for name, policy in POLICIES.items()
        for mode in MODES
    }
    seen: dict[tuple[str, str], list[float]] = {each: [] for each in beside}
    base: dict[str, list[float]] = {mode: [] for mode in MODES}
    gc.collect()
    gc.freeze()
    gc.disable()  # it would fall upon one of a pair
    try:
        for number in range(-1, rounds):  # the first warms up
            for (name, mode), one in beside.items():
                without, with_it = _pair(alone[mode], one, polls)
                if number >= 0:
                    base[mode].append(without / 1000 / traces)
                    seen[name, mode].append((with_it - without) / 1000 / traces)
            gc.collect()
            console.print(f"round {number + 1} of {rounds}" if number >= 0 else "warmed up")
    finally:
        gc.enable()
        gc.unfreeze()
    return {
        "spans": sum(record.spans for record in records),
        "traces": traces,
        "rounds": rounds,
        "alone_us_a_trace": {mode: figures(each) for mode, each in base.items()},
        "more_us_a_trace": {
            name: {mode: figures(seen[name, mode]) for mode in MODES} for name in POLICIES
        },
    }


def table(found: Mapping[str, Any]) -> str:
    """Return the costs as Markdown."""
    alone = found["alone_us_a_trace"]
    spans = found["spans"] / found["traces"]
    rows = [
        [f"(always_sample alone, all of a trace of {spans:.1f} spans)"]
        + [spread(alone[mode]) for mode in MODES],
        *(
            [name, *(spread(costs[mode]) for mode in MODES)]
            for name, costs in found["more_us_a_trace"].items()
        ),
    ]
    return (
        f"CPU µs a trace that a policy adds to scan, fold and judge, beside always_sample: median "
        f"(min-max) of {found['rounds']} pairs over {found['traces']:,} traces.\n\n"
        + markdown(["policy", *(f"compatibility: {mode}" for mode in MODES)], rows)
    )


def _pair(alone: Pass, one: Pass, polls: list[list[CorpusRecord]]) -> tuple[int, int]:
    """Return the nanoseconds of both, each the better of two: a pass may find the caches cold."""
    first = alone.cost_ns(polls), one.cost_ns(polls)
    return min(first[0], alone.cost_ns(polls)), min(first[1], one.cost_ns(polls))


def _deliver(sampler: TailSampler) -> int:
    """Take everything that was decided as delivered; return how much it was."""
    count = 0
    while sampler.undelivered:
        taken = sampler.take(count_max=sampler.undelivered, bytes_max=1 << 62)
        sampler.settle([Settled(one) for one in taken])
        count += len(taken)
    return count
