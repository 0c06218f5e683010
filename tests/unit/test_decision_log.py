"""Which part of the decisions topic a successor must read: never too little."""

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.testing.decisions import a_decision
from stream.worker import decision_log
from stream.worker.decision_log import DecisionLog

RETENTION_MS = 20


@pytest.fixture
def three_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "CHUNK_RECORDS", 3)


def test_a_log_of_nothing_needs_nothing() -> None:
    assert DecisionLog(7).needed_from(resume_offset=0, retained_from_ms=0) == 7


@pytest.mark.usefixtures("three_a_chunk")
def test_what_reaches_above_the_resume_offset_and_what_is_retained_is_needed() -> None:
    log = DecisionLog()
    for number in range(9):
        log.append(a_decision(upto=10 * number, time_ms=100 * number), number)
    log.advance(9)
    assert log.needed_from(resume_offset=1_000, retained_from_ms=10_000) == 9
    assert log.needed_from(resume_offset=45, retained_from_ms=10_000) == 3
    assert log.needed_from(resume_offset=1_000, retained_from_ms=150) == 0


@pytest.mark.usefixtures("three_a_chunk")
def test_a_replay_needs_what_reaches_above_the_resume_offset_alone() -> None:
    log = DecisionLog()
    for number in range(9):
        log.append(a_decision(upto=10 * number, time_ms=100 * number), number)
    log.advance(9)
    assert [log.replay_from(offset) for offset in (19, 20, 45, 80)] == [0, 3, 3, 9]


@pytest.mark.usefixtures("three_a_chunk")
def test_what_was_read_later_but_lies_below_counts_as_if_it_had_been_read_first() -> None:
    at_once, first, later = DecisionLog(), DecisionLog(6), DecisionLog()
    for number in range(9):
        decision = a_decision(upto=10 * number, time_ms=100 * number)
        at_once.append(decision, number)
        (first if number >= 6 else later).append(decision, number)
    for log in (at_once, first):
        log.advance(9)
    first.put_before(later)
    for resume_offset in range(0, 90, 5):
        for retained_from_ms in range(0, 1_000, 50):
            asked = {"resume_offset": resume_offset, "retained_from_ms": retained_from_ms}
            assert first.needed_from(**asked) == at_once.needed_from(**asked)


def test_the_last_levels_are_those_of_the_last_record_that_tells_some_whenever_it_was_read() -> (
    None
):
    first, later = DecisionLog(2), DecisionLog()
    for number, (log, levels) in enumerate(
        [(later, ((1,),)), (later, ((2,),)), (first, ()), (first, ((4,),)), (first, ())]
    ):
        log.append(a_decision(upto=1, time_ms=1), number)
        log.tell_levels(levels, f"config {number}")
    assert (first.levels, later.levels) == (("config 3", ((4,),)), ("config 1", ((2,),)))
    first.put_before(later)
    assert first.levels == ("config 3", ((4,),))
    none = DecisionLog(2)
    none.put_before(later)
    assert none.levels == later.levels
    assert none.needed_from(resume_offset=9, retained_from_ms=9) == 0


@dataclass
class Model:
    """Every record with its true offset; the log below is told lower bounds only."""

    log: DecisionLog = field(default_factory=DecisionLog)
    records: list[tuple[int, int, int]] = field(default_factory=list)  # offset, upto, time_ms
    end: int = 0
    time_ms: int = 0
    upto: int = 0
    resume: int = 0
    levels_at: int = -1

    def transaction(self, steps: list[tuple[int, int]], resume_by: int, gap: int) -> None:
        planned = self.log.needed_from(
            resume_offset=self.resume, retained_from_ms=self.time_ms - RETENTION_MS
        )
        for upto_by, wait_ms in steps:
            self.time_ms += wait_ms
            # A late delivery's record can reach above those of cuts queued after it.
            upto = self.upto + upto_by
            self.upto = max(self.upto, upto)
            self.records.append((self.end, upto, self.time_ms))
            self.log.append(a_decision(upto=upto, time_ms=self.time_ms))
            # A late delivery's record, or one of policies without limits.
            levels = ((self.end,),) if upto_by >= 0 and wait_ms % 3 else ()
            self.log.tell_levels(levels, "c0ffee")
            self.levels_at = self.end if levels else self.levels_at
            self.end += 1
        self.log.advance(self.end)
        self.end += gap
        self.log.forget_below(planned)
        self.resume = min(self.resume + resume_by, self.upto)

    def needed(self, resume_offset: int, retained_from_ms: int) -> list[int]:
        return [
            offset
            for offset, upto, time_ms in self.records
            if upto > resume_offset or time_ms >= retained_from_ms
        ]


TRANSACTIONS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(-3, 4), st.integers(0, 40)), max_size=9),
        st.integers(0, 8),
        st.integers(0, 2),
    ),
    max_size=8,
)


CHUNKS_OF_ONE_TRANSACTION = [
    ([(4, 0), (4, 0), (4, 0), (-3, 0), (-3, 0), (-3, 0)], 8, 0),
    ([(0, 40)], 2, 0),
    ([], 0, 0),
]


@example(CHUNKS_OF_ONE_TRANSACTION)
@given(TRANSACTIONS)
def test_a_successor_is_never_told_to_start_above_a_record_that_it_needs(
    transactions: list[tuple[list[tuple[int, int]], int, int]],
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decision_log, "CHUNK_RECORDS", 3)
        model = Model()
        for steps, resume_by, gap in transactions:
            model.transaction(steps, resume_by, gap)
            retained_from_ms = model.time_ms - RETENTION_MS
            first = model.log.needed_from(
                resume_offset=model.resume, retained_from_ms=retained_from_ms
            )
            assert all(first <= o for o in model.needed(model.resume, retained_from_ms))
            assert first <= model.levels_at or model.levels_at < 0
            for_replay = model.log.replay_from(model.resume)
            assert first <= for_replay <= model.log.next_offset
            assert all(for_replay <= o for o in model.needed(model.resume, 1 << 60))


@pytest.mark.usefixtures("three_a_chunk")
def test_what_was_committed_as_unneeded_is_forgotten() -> None:
    log = DecisionLog()
    for number in range(300):
        log.append(a_decision(upto=number, time_ms=number), number)
        log.advance(number + 1)
        log.forget_below(log.needed_from(resume_offset=number - 5, retained_from_ms=number - 5))
    assert len(log._chunks) < 6


@pytest.mark.usefixtures("three_a_chunk")
def test_records_read_by_a_restore_are_forgotten_only_below_their_last() -> None:
    log = DecisionLog()
    for offset in (10, 11):
        log.append(a_decision(upto=100, time_ms=0), offset)
    log.advance(20)
    log.forget_below(11)
    assert log.needed_from(resume_offset=50, retained_from_ms=1) == 10
    log.forget_below(12)
    assert log.needed_from(resume_offset=50, retained_from_ms=1) == 20
