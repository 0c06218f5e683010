"""A batch on its way to a backend that answers by a script."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import structlog

from stream import clock
from stream.export.answer import NO_ANSWER, Answer
from stream.export.delivery import Delivery, GaveUpError, Limits, NotForUsError
from stream.export.waiting import Held, Waiting
from stream.kafka.group_reader import GroupRecord
from stream.testing.spans import a_trace, spans_of, trace_id_of, traces_data

OK = Answer(200)
Script = Callable[[list[bytes], int], Answer]
"""(trace ids of the request, how many requests came before it) -> answer."""


@dataclass
class Run:
    """A delivery, and what it did: requests, waits, dead letters."""

    script: Script
    limits: Limits = field(default_factory=lambda: Limits(request_bytes_max=1 << 20))
    requests: list[list[bytes]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    buried: list[tuple[int, str, str]] = field(default_factory=list)
    at_wait: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.delivery = Delivery(
            self,
            url="http://backend/v1/traces",
            limits=self.limits,
            bury=self.bury,
            sleep=self.sleep,
            chance=lambda: 0.0,
        )

    async def packed(self, body: bytes) -> bytes:
        return body

    async def post(self, packed: bytes) -> Answer:
        # Each record is one trace of three spans.
        traces = list(dict.fromkeys(span.trace_id for span in spans_of(packed)))
        self.requests.append(traces)
        return self.script(traces, len(self.requests) - 1)

    async def bury(self, held: Held, reason: str, why: str) -> None:
        self.buried.append((held.record.offset, reason, why))

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        assert len(self.waits) < 1_000, "it never ends"
        self.at_wait()

    def deliver(self, batch: list[Held], *, greeted: bool = True) -> None:
        async def both() -> None:
            if greeted:
                script, self.script = self.script, lambda _traces, _before: OK
                await self.delivery.greet()
                self.requests.clear()
                self.script = script
            await self.delivery.deliver(batch)

        asyncio.run(both())


def batch_of(count: int, *, partition: int = 0) -> tuple[Waiting, list[Held]]:
    waiting = Waiting()
    for number in range(count):
        value = traces_data(a_trace(number))
        waiting.add(GroupRecord(partition, number, None, b"key", value, []))
    return waiting, waiting.take(1 << 30)


def refusing(*numbers: int, with_answer: Answer = Answer(400, "no")) -> Script:  # noqa: B008 - it is frozen
    poison = {trace_id_of(number) for number in numbers}
    return lambda traces, _before: with_answer if poison & set(traces) else OK


@pytest.fixture
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass."""
    monkeypatch.setattr(clock, "monotonic_s", lambda: 100.0)


def test_an_accepted_batch_is_one_request_and_acknowledged_whole() -> None:
    waiting, batch = batch_of(5)
    run = Run(lambda _traces, _before: OK)
    run.deliver(batch)
    assert run.requests == [[trace_id_of(number) for number in range(5)]]
    assert waiting.to_commit() == {0: 5}
    assert (run.delivery.counts.records, run.delivery.counts.spans) == (5, 15)


@pytest.mark.parametrize("status", [400, 422, 413])
def test_what_is_refused_is_halved_until_the_culprits_are_found_and_order_holds(
    status: int,
) -> None:
    waiting, batch = batch_of(16)
    run = Run(refusing(3, 11, with_answer=Answer(status, "no")))
    run.deliver(batch)
    assert run.buried == [(n, "refused_by_backend", f"{status}: no") for n in (3, 11)]
    accepted = [trace for traces in run.requests if run.script(traces, 0) == OK for trace in traces]
    assert accepted == [trace_id_of(number) for number in range(16) if number not in (3, 11)]
    assert waiting.to_commit() == {0: 16}
    assert run.delivery.counts.records == 14
    assert run.delivery.counts.dead_letters == {"refused_by_backend": 2}
    assert len(run.requests) < 20


def test_a_record_that_is_not_otlp_is_buried_without_asking_the_backend() -> None:
    waiting = Waiting()
    values = [traces_data(a_trace(0)), b"\x0a\x7f", b"", traces_data(a_trace(3))]
    for offset, value in enumerate(values):
        waiting.add(GroupRecord(0, offset, None, None, value, []))
    run = Run(lambda _traces, _before: OK)
    run.deliver(waiting.take(1 << 20))
    assert run.requests == [[trace_id_of(0), trace_id_of(3)]]
    assert run.buried == [(1, "malformed", "")]
    assert run.delivery.counts.empty == 1
    assert waiting.to_commit() == {0: 4}


@pytest.mark.parametrize("status", [429, 502, 503, 504, 408])
def test_a_busy_backend_is_asked_again_for_ever_with_growing_waits(status: int) -> None:
    waiting, batch = batch_of(3)
    run = Run(lambda _traces, before: Answer(status) if before < 50 else OK)
    run.deliver(batch)
    assert run.waits[:4] == [0.25, 0.5, 1.0, 2.0]
    assert run.waits[-1] == 15.0
    assert run.delivery.counts.retries == 50
    assert run.requests[-1] == [trace_id_of(number) for number in range(3)]
    assert waiting.to_commit() == {0: 3}


@pytest.mark.usefixtures("_still")
def test_an_outage_is_told_when_it_begins_and_when_it_ends_not_at_each_try() -> None:
    run = Run(lambda _traces, before: Answer(503, "busy") if before < 50 else OK)

    with structlog.testing.capture_logs() as told:
        run.deliver(batch_of(3)[1])

    lines = [(line["event"], line["log_level"]) for line in told]
    assert lines == [
        ("the backend answers", "info"),
        ("will be sent again", "warning"),
        ("the backend accepts again", "info"),
    ]
    assert (told[1]["retries_since"], told[2]["retries"]) == (1, 50)


@pytest.mark.usefixtures("_still")
def test_an_answer_of_another_kind_is_told_at_once() -> None:
    answers = [Answer(503), Answer(401), Answer(503), OK]
    run = Run(lambda _traces, before: answers[before])

    with structlog.testing.capture_logs() as told:
        run.deliver(batch_of(1)[1])

    again = [(line["answer"], line["log_level"]) for line in told if "answer" in line]
    assert again == [("503", "warning"), ("401", "error")]


def test_the_wait_is_what_retry_after_says() -> None:
    run = Run(lambda _traces, before: Answer(429, "", 9.0) if before == 0 else OK)
    run.deliver(batch_of(1)[1])
    assert run.waits == [9.0]


def test_a_request_without_an_answer_is_halved_in_the_end_and_a_single_record_waits_on() -> None:
    waiting, batch = batch_of(4)
    run = Run(lambda traces, _before: Answer(NO_ANSWER) if len(traces) > 1 else OK)
    run.deliver(batch)
    assert [len(traces) for traces in run.requests if len(traces) != 1] == [4] * 5 + [2] * 10
    assert waiting.to_commit() == {0: 4}

    run = Run(lambda _traces, before: Answer(NO_ANSWER) if before < 100 else OK)
    run.deliver(batch_of(1)[1])
    assert run.buried == []
    assert run.delivery.counts.records == 1


def test_a_server_that_fails_five_times_over_one_record_loses_only_that_one() -> None:
    waiting, batch = batch_of(4)
    run = Run(refusing(2, with_answer=Answer(500, "panic")))
    run.deliver(batch)
    assert run.buried == [(2, "refused_by_backend", "500: panic")]
    assert run.requests.count([trace_id_of(2)]) == 5
    assert waiting.to_commit() == {0: 4}

    run = Run(lambda _traces, before: Answer(500) if before < 4 else OK)
    run.deliver(batch_of(4)[1])
    assert run.buried == []


def test_requests_shrink_to_what_the_backend_takes() -> None:
    size = len(traces_data(a_trace(0)))
    run = Run(lambda traces, _before: Answer(413) if len(traces) > 4 else OK)
    run.deliver(batch_of(16)[1])
    assert 3 * size <= run.limits.request_bytes_max <= 5 * size
    assert run.delivery.counts.records == 16


@pytest.mark.parametrize("status", [401, 403, 404, 302, 415])
def test_an_answer_about_us_ends_it_before_the_first_success_and_is_waited_out_after(
    status: int,
) -> None:
    waiting, batch = batch_of(2)
    run = Run(lambda _traces, _before: Answer(status))
    with pytest.raises(NotForUsError, match=rf"^export.endpoint: http://backend.*{status}.*export"):
        run.deliver(batch, greeted=False)
    assert waiting.to_commit() == {}

    run = Run(lambda _traces, before: Answer(status) if before < 3 else OK)
    run.deliver(batch_of(2)[1])
    assert run.delivery.counts.records == 2
    assert run.buried == []


def test_a_backend_that_refuses_all_from_the_start_is_the_wrong_one() -> None:
    _, batch = batch_of(100)
    run = Run(lambda _traces, _before: Answer(400, "this is HTTPS"))
    with pytest.raises(NotForUsError, match="this is HTTPS"):
        run.deliver(batch, greeted=False)
    assert len(run.buried) == 10


def test_it_gives_up_only_when_told_to_and_commits_nothing_then() -> None:
    waiting, batch = batch_of(2)
    limits = Limits(request_bytes_max=1 << 20, retry_for_s=0.3)
    run = Run(lambda _traces, _before: Answer(503), limits)
    with pytest.raises(GaveUpError, match=r"503: gave up after 0\.3 s"):
        run.deliver(batch)
    assert run.waits == [0.25]
    assert waiting.to_commit() == {}


def test_what_the_group_took_away_meanwhile_is_not_sent_again() -> None:
    waiting = Waiting()
    for partition in (0, 1):
        value = traces_data(a_trace(partition))
        waiting.add(GroupRecord(partition, 7, None, b"key", value, []))
    batch = sorted(waiting.take(1 << 20), key=lambda held: held.record.partition)
    run = Run(lambda _traces, before: Answer(503) if before == 0 else OK)

    def take_away() -> None:
        for lane in waiting.give_up([0]):
            lane.ours = False

    run.at_wait = take_away
    run.deliver(batch)
    assert run.requests == [[trace_id_of(0), trace_id_of(1)], [trace_id_of(1)]]
    assert waiting.to_commit() == {1: 8}


def test_rejected_spans_of_an_accepted_request_are_counted() -> None:
    waiting, batch = batch_of(2)
    run = Run(lambda _traces, _before: Answer(200, "too old", 0.0, 4))
    run.deliver(batch)
    assert (run.delivery.counts.spans, run.delivery.counts.rejected_spans) == (6, 4)
    assert waiting.to_commit() == {0: 2}


@pytest.mark.usefixtures("_still")
def test_spans_that_every_request_has_rejected_are_told_once_a_minute() -> None:
    run = Run(lambda _traces, _before: Answer(200, "too old", 0.0, 4))

    with structlog.testing.capture_logs() as told:
        for _ in range(20):
            run.deliver(batch_of(2)[1])

    rejected = [line["spans"] for line in told if line["event"] == "the backend rejected spans"]
    assert rejected == [4]
    assert run.delivery.counts.rejected_spans == 80
