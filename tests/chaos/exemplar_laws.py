"""What must hold of a run with exemplars, and what it measured."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from stream.measurements import OUTCOMES
from stream.sampling.control import CONTROL_HEADER
from tests.chaos.exemplar_traffic import EXPORT_HEADER, ExemplarTraffic, Shape
from tests.chaos.laws import Account
from tests.harness.oracle import PIN, Rules, decode, placed_spans
from tests.harness.reading import Stored, read_whole
from tests.harness.topics import Topics
from tests.harness.worker import WorkerProcess

OUTSIDE_THE_LAW = ("replayed", "promoted")
LATER = ("promoted", "promoted_partial", "pinned")
"""Triggers of traces that came out because an exemplar points at them."""


@dataclass(slots=True)
class ExemplarRan:
    """What a run was, and what came of it.

    `exemplars` are what the exports held, `traces_shown` the traces that they point at; `whole` of
    these are in the output, every span once. `came_by` says how they came there. `pins` were
    written, `pins_repeated` of them for traces that had one. `wait_s` is from the moment when the
    metrics were in Kafka to the one when a reader had the trace, by trigger, sorted; `there_before`
    had been readable before their metrics came.
    """

    seed: int
    shape: Shape
    rules: Rules
    kill_every_s: float
    account: Account = field(default_factory=Account)
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)
    traces: int = 0
    spans: int = 0
    exemplars: int = 0
    traces_shown: int = 0
    whole: int = 0
    came_by: Counter[str] = field(default_factory=Counter)
    pins: int = 0
    pins_repeated: int = 0
    wait_s: dict[str, list[float]] = field(default_factory=dict)
    there_before: int = 0
    cpu_s: float = 0.0
    read_again_records: int = 0
    read_again_bytes: int = 0
    broken: list[str] = field(default_factory=list)


def hold_exemplars(
    ran: ExemplarRan, topics: Topics, traffic: ExemplarTraffic, readable_ms: dict[bytes, int]
) -> None:
    """Hold the output against what was sent, by the sender's own count."""
    output = read_whole(topics.bootstrap, topics.output)
    shown = traffic.exemplars()
    ran.traces, ran.spans = len(traffic.spans), sum(traffic.spans.values())
    ran.exemplars = sum(map(len, traffic.exports.values()))
    ran.traces_shown = len(shown)
    if ran.traces != ran.shape.traces or (ran.shape.exemplars_an_export and not shown):
        ran.broken.append(f"only {ran.traces} traces were sent, {len(shown)} have exemplars")
    came = _spans_that_came(output)
    if unseen := came.keys() - readable_ms.keys():
        ran.broken.append(f"{len(unseen)} traces were never readable meanwhile: {_some(unseen)}")
    ran.whole = len(shown) - _hold_whole(ran, came, traffic.spans, shown)
    how = _how_they_came(output)
    ran.came_by = Counter(how[trace_id] for trace_id in shown & how.keys())
    pinned = Counter(
        record.key
        for record in read_whole(topics.bootstrap, topics.input)
        if CONTROL_HEADER in record.headers
    )
    ran.pins, ran.pins_repeated = pinned.total(), pinned.total() - len(pinned)
    if unpinned := shown - {bytes.fromhex(key.decode()) for key in pinned}:
        ran.broken.append(
            f"{len(unpinned)} traces of exemplars were never pinned: {_some(unpinned)}"
        )
    _measure_waits(ran, _shown_ms(topics, traffic), readable_ms, how)


def law_by_metrics(worker: WorkerProcess) -> str:
    """Return how this process breaks the accounting law by its own metrics, "" if it does not."""
    counts = worker.accounts()
    open_spans = int(sum(n for _, n in worker.samples("tailstream_open_spans", "partition")))
    inside = [outcome for outcome in OUTCOMES if outcome not in OUTSIDE_THE_LAW]
    accounted = sum(counts.get(outcome, 0) for outcome in inside) + open_spans
    if counts["received"] == accounted:
        return ""
    return f"{worker.slot}: {accounted} spans are accounted for: {counts}, open {open_spans}"


def _spans_that_came(output: list[Stored]) -> dict[bytes, Counter[bytes]]:
    came: defaultdict[bytes, Counter[bytes]] = defaultdict(Counter)
    for record in output:
        for placed in placed_spans(decode(record.value)):
            came[placed.span.trace_id][placed.span.span_id] += 1
    return came


def _hold_whole(
    ran: ExemplarRan, came: dict[bytes, Counter[bytes]], sent: dict[bytes, int], shown: set[bytes]
) -> int:
    """Return how many of those that are shown are not there, whole and once; note all others."""
    missing = shown - came.keys()
    partial = {trace_id for trace_id, spans in came.items() if len(spans) != sent.get(trace_id)}
    twice = {trace_id for trace_id, spans in came.items() if spans.total() > len(spans)}
    for what, found in (
        ("traces of exemplars are not in the output", missing),
        ("traces in the output are not whole", partial),
        ("traces in the output have spans twice", twice),
    ):
        if found:
            ran.broken.append(f"{len(found)} {what}: {_some(found)}")
    return len(shown & (missing | partial | twice))


def _how_they_came(output: list[Stored]) -> dict[bytes, str]:
    """Return by trace id what brought it: a trigger of `LATER`, or the name of its policy."""
    how: dict[bytes, str] = {}
    for record in output:
        policy, trigger = (
            record.headers[f"tailstream.{name}"].decode() for name in ("policy", "trigger")
        )
        if trigger != "late":
            trace_id = bytes.fromhex(record.key.decode())
            how[trace_id] = trigger if policy == PIN or trigger in LATER else f"policy {policy}"
    return how


def _shown_ms(topics: Topics, traffic: ExemplarTraffic) -> dict[bytes, int]:
    """Return when the broker had the first exemplar of each trace."""
    shown_ms: dict[bytes, int] = {}
    for record in read_whole(topics.bootstrap, topics.metrics):
        for trace_id in traffic.exports[int(record.headers[EXPORT_HEADER]), record.key]:
            before_ms = shown_ms.get(trace_id, record.timestamp_ms)
            shown_ms[trace_id] = min(before_ms, record.timestamp_ms)
    return shown_ms


def _measure_waits(
    ran: ExemplarRan,
    shown_ms: dict[bytes, int],
    readable_ms: dict[bytes, int],
    how: dict[bytes, str],
) -> None:
    waits: defaultdict[str, list[float]] = defaultdict(list)
    for trace_id in shown_ms.keys() & readable_ms.keys() & how.keys():
        wait_ms = readable_ms[trace_id] - shown_ms[trace_id]
        if how[trace_id] in LATER:
            waits[how[trace_id]].append(wait_ms / 1000)
        ran.there_before += wait_ms < 0
    ran.wait_s = {trigger: sorted(found) for trigger, found in sorted(waits.items())}


def _some(found: set[bytes]) -> list[str]:
    return sorted(trace_id.hex() for trace_id in found)[:5]
