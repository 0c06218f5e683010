"""One run of a worker on the traffic: with a policy, and with or without pins from exemplars."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.clock import monotonic_s, now_ms
from stream.demo.pace import pace
from stream.demo.recall.application import Application
from stream.demo.recall.checkout import Checkout
from stream.demo.recall.evidence import Evidence
from stream.demo.recall.timeline import Collected, Exported, Moment, timeline
from stream.demo.record import Record
from stream.demo.run import NotSettledError, free_port
from stream.demo.worker_process import WorkerProcess
from stream.exemplars.otlp_metrics import read_metrics
from stream.kafka.load_producer import LoadProducer
from stream.kafka.topic_reader import TopicReader

DECISION_WAIT_S = 3
SETTLE_TIMEOUT_S = 120.0
READ_WAIT_S = 0.2
READ_EVERY = 200
NS_PER_MS = 1_000_000
ERRORS, SLOW = "errors", "slow"
METRICS = "metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What to run: a Kafka that has the topics, by role, and the policy's threshold.

    With `pins`, the application's metrics go to Kafka, and `tailstream exemplars` reads them.
    """

    bootstrap: str
    topics: Mapping[str, str]
    check_topics: bool
    delivery: str
    slow_ms: int
    pins: bool


@dataclass(slots=True)
class Ran:
    """What a run has left: the application, the worker's evidence, and who was ever an exemplar."""

    evidence: Evidence
    application: Application = field(default_factory=Application)
    exemplars: set[bytes] = field(default_factory=set)
    collected: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def collect(self, instance: str, number: int) -> None:
        """Read a replica's metrics, to be exported."""
        value = self.application.otlp(instance, now_ms() * NS_PER_MS)
        self.collected[instance, number] = value
        self.exemplars |= {each.trace_id for each in read_metrics(value).exemplars}


def groups(topics: Mapping[str, str]) -> list[str]:
    """Return every consumer group of a run with these topics."""
    return [topics["input"] + end for end in ("", "-position", "-exemplars")]


def run(
    tail: Tail, checkouts: Sequence[Checkout], directory: Path, tell: Callable[[str], None]
) -> Ran:
    """Send the traffic at its pace, and return what was left once every span is decided on.

    With pins also once every exemplar's trace is in the output; where one does not come, that is
    for the steps to say.

    Raises:
        NotSettledError: not every span was decided on in time.
        WorkerFailedError: a process ended.
        ClusterError: the cluster cannot be used.
    """
    ran = Ran(Evidence(tail.topics))
    kafka = {"bootstrap.servers": tail.bootstrap}
    read = [tail.topics[role] for role in ("output", "decisions")]
    with ExitStack() as stack:
        reader = stack.enter_context(TopicReader(kafka, read))
        processes = [stack.enter_context(each) for each in _processes(tail, directory)]
        spans = stack.enter_context(LoadProducer(kafka, tail.topics["input"]))
        metrics = stack.enter_context(LoadProducer(kafka, tail.topics[METRICS]))
        for number, moment in enumerate(pace(timeline(checkouts, exports=tail.pins), spans.poll)):
            _act(moment, ran, spans, metrics)
            if number % READ_EVERY == 0:
                _take(reader, ran.evidence, 0.0)
                _check(processes)
        spans.flush(SETTLE_TIMEOUT_S)
        metrics.flush(SETTLE_TIMEOUT_S)
        tell("waiting for the worker's decisions")
        wanted = [each for each in checkouts if each.trace_id in ran.exemplars]
        for _ in _until_deadline():
            _take(reader, ran.evidence, READ_WAIT_S)
            _check(processes)
            if _is_settled(ran.evidence, checkouts) and ran.evidence.all_kept(wanted):
                return ran
    if not _is_settled(ran.evidence, checkouts):
        raise NotSettledError(f"not all spans were decided on in {SETTLE_TIMEOUT_S:g} s")
    return ran


def _act(moment: Moment, ran: Ran, spans: LoadProducer, metrics: LoadProducer) -> None:
    match moment:
        case Checkout():
            ran.application.observe(moment)
        case Record(key=key, value=value):
            spans.send(key, value)
        case Collected(instance=instance, number=number):
            ran.collect(instance, number)
        case Exported(instance=instance, number=number):
            metrics.send(b"", ran.collected.pop((instance, number)))


def _take(reader: TopicReader, evidence: Evidence, timeout_s: float) -> None:
    for record in reader.read(timeout_s):
        evidence.add(record)


def _check(processes: Sequence[WorkerProcess]) -> None:
    for process in processes:
        process.check()


def _until_deadline() -> Iterator[None]:
    until_s = monotonic_s() + SETTLE_TIMEOUT_S
    while monotonic_s() < until_s:
        yield


def _is_settled(evidence: Evidence, checkouts: Sequence[Checkout]) -> bool:
    return evidence.decided_spans >= sum(len(each.span_ids) for each in checkouts)


def _processes(tail: Tail, directory: Path) -> Iterator[WorkerProcess]:
    settings = _settings(tail, directory)
    yield WorkerProcess(settings, directory, check_topics=tail.check_topics)
    if tail.pins:
        apart = {**settings, "web": {"port": free_port()}}
        yield WorkerProcess(apart, directory, check_topics=tail.check_topics, command="exemplars")


def _settings(tail: Tail, directory: Path) -> dict[str, Any]:
    latency = {"threshold_ms": tail.slow_ms}
    return {
        "kafka": {"bootstrap.servers": tail.bootstrap},
        "worker": {"group": tail.topics["input"], "delivery": tail.delivery},
        "topics": dict(tail.topics),
        "tail_sampling": {
            "decision_wait": f"{DECISION_WAIT_S}s",
            "policies": [
                {"name": ERRORS, "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
                {"name": SLOW, "type": "latency", "latency": latency},
            ],
        },
        "storage": {"directory": str(directory / "data")},
        "web": {"port": free_port()},
        "log": {"format": "json"},
    }
