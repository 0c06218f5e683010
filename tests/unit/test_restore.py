"""Where an assigned partition starts, and what it knows before it is ready."""

from dataclasses import replace

import msgpack
import pytest

from stream.kafka.log_state import NO_OFFSET, Identity, LogState
from stream.sampling.decision import Clock, Decision, Trigger, Verdict, encode
from stream.state.memory import MemoryDecisionStore
from stream.testing.core import IDENTITY
from stream.testing.spans import trace_id_of
from stream.worker import hints
from stream.worker.hints import Hints
from stream.worker.restore import (
    OffsetAboveEndError,
    Restore,
    ResumePoint,
    resume_point,
)

HINTS = Hints(
    offset=50,
    time_ms=1_000,
    position=90,
    decisions_next=20,
    decisions_from=10,
    replay_from=10,
    dead_letters_upto=60,
)


def log_state(
    committed: int = 50,
    *,
    hints_of: Hints | None = HINTS,
    start: int = 0,
    end: int = 100,
    decisions: tuple[int, int] = (0, 30),
) -> LogState:
    metadata = hints.encode(hints_of, IDENTITY) if hints_of else None
    return LogState(committed, metadata, start, end, *decisions)


def point_of(log: LogState, initial_offset: str = "earliest") -> ResumePoint:
    return resume_point(log, identity=IDENTITY, initial_offset=initial_offset)


def a_decision(trace: int, upto: int, trigger: Trigger = Trigger.DECISION_WAIT) -> Decision:
    return Decision(
        trace_id_of(trace),
        Verdict.SAMPLED,
        "errors",
        trigger,
        threshold=7,
        spans=1,
        errors=1,
        duration_us=0,
        complete=True,
        time_ms=900,
        clock=Clock.LOG,
        upto=upto,
        offsets=[upto - 1],
        span_ids=b"12345678",
        span_ids_complete=False,
    )


def restored(values: list[tuple[int, bytes]]) -> tuple[Restore, MemoryDecisionStore]:
    decisions = MemoryDecisionStore()
    restore = Restore(point_of(log_state()), identity=IDENTITY, decisions=decisions)
    restore.read(values)
    return restore, decisions


def test_a_partition_starts_at_its_resume_offset_with_what_the_hints_say() -> None:
    assert point_of(log_state()) == ResumePoint(
        50,
        1_000,
        10,
        30,
        dead_letters_upto=60,
        lost=0,
        decisions_missing=0,
        replay_from=10,
        replay_upto=90,
    )


def test_without_hints_it_reads_every_decision_and_repeats_dead_letters() -> None:
    assert point_of(log_state(hints_of=None, decisions=(3, 30))) == ResumePoint(
        50, 0, 3, 30, dead_letters_upto=0, lost=0, decisions_missing=0, replay_upto=100
    )


@pytest.mark.parametrize(("initial_offset", "offset"), [("earliest", 5), ("latest", 100)])
def test_a_first_start_is_where_the_setting_says(initial_offset: str, offset: int) -> None:
    log = log_state(NO_OFFSET, hints_of=None, start=5)
    assert point_of(log, initial_offset) == ResumePoint(offset, 0, 0, 30, 0, 0, 0)


def test_records_that_retention_deleted_are_counted_as_lost() -> None:
    point = point_of(log_state(start=58))
    assert (point.offset, point.lost, point.time_ms) == (58, 8, 1_000)


def test_an_offset_above_the_end_of_the_log_stops_the_start() -> None:
    assert point_of(log_state(end=50)).offset == 50
    with pytest.raises(OffsetAboveEndError, match=r"50 .* 49"):
        point_of(log_state(end=49))


@pytest.mark.parametrize(
    ("decisions", "missing"),
    [((0, 20), 0), ((10, 25), 0), ((14, 30), 4), ((0, 17), 3), ((25, 30), 10), ((0, 0), 20)],
)
def test_decisions_that_were_expected_and_are_gone_are_counted(
    decisions: tuple[int, int], missing: int
) -> None:
    assert point_of(log_state(decisions=decisions)).decisions_missing == missing


def test_a_decision_is_known_as_its_record_says_and_the_last_record_holds() -> None:
    first, late = a_decision(1, 40), a_decision(1, 45, Trigger.LATE)
    values = [
        encode(one, config="c", topic_id=IDENTITY.topic_id, group="") for one in (first, late)
    ]
    _, decisions = restored([(10, values[0]), (12, values[1])])
    known = decisions.get(trace_id_of(1))
    assert known is not None
    assert (known.verdict, known.policy, known.threshold) == (Verdict.SAMPLED, "errors", 7)
    assert (known.upto, known.time_ms) == (45, 900)
    assert (known.span_ids, known.span_ids_complete) == (b"12345678", False)


def test_decisions_about_another_topic_and_unreadable_ones_are_passed_by_and_counted() -> None:
    foreign = encode(a_decision(1, 40), config="c", topic_id="the topic before", group="")
    ours = encode(a_decision(2, 40), config="c", topic_id=IDENTITY.topic_id, group="")
    restore, decisions = restored([(10, foreign), (11, b"\xc1"), (12, ours), (13, b"")])
    assert (restore.foreign, restore.unreadable) == (1, 2)
    assert decisions.get(trace_id_of(1)) is None
    assert decisions.get(trace_id_of(2)) is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"upto": "40"},
        {"upto": -1},
        {"time_ms": None},
        {"time_ms": 2**63},
        {"trace_id": [1]},
        {"trace_id": b"short"},
        {"span_ids": 7},
        {"span_ids_complete": 1},
        {"th": 0.5},
        {"th": -1},
        {"th": 2**56 + 1},
        {"policy": None},
        {"policy": b"errors"},
    ],
    ids=repr,
)
def test_a_record_that_names_us_and_is_not_as_we_write_it_is_passed_by(
    changed: dict[str, object],
) -> None:
    ours = encode(a_decision(2, 40), config="c", topic_id=IDENTITY.topic_id, group="")
    forged = msgpack.packb({**msgpack.unpackb(ours), **changed})
    restore, decisions = restored([(10, ours), (11, forged)])
    assert (restore.unreadable, len(decisions)) == (1, 1)


def test_decisions_that_no_replay_needs_wait_for_the_second_phase() -> None:
    point = point_of(log_state(hints_of=replace(HINTS, replay_from=17)))
    assert (point.decisions_from, point.first_phase_from, point.older_records) == (10, 17, 7)


def test_the_second_phase_ends_where_the_first_began_wherever_a_read_ends() -> None:
    point = point_of(log_state(hints_of=replace(HINTS, replay_from=12)))
    restore = Restore(point, identity=IDENTITY, decisions=MemoryDecisionStore())
    values = [
        (offset, encode(a_decision(offset, 40), config="c", topic_id="topic-1", group=""))
        for offset in (10, 11, 12, 13)
    ]
    assert [known[0] for known in restore.read_older(values)] == [trace_id_of(10), trace_id_of(11)]


@pytest.mark.parametrize("decisions", [(13, 30), (17, 30), (25, 30)])
def test_what_retention_took_of_the_older_decisions_is_not_waited_for(
    decisions: tuple[int, int],
) -> None:
    point = point_of(log_state(hints_of=replace(HINTS, replay_from=17), decisions=decisions))
    assert point.older_records == max(0, 17 - decisions[0])
    assert point.first_phase_from == max(17, decisions[0])


def test_a_successor_of_the_restored_reads_from_the_first_record_it_needs() -> None:
    ours = encode(a_decision(2, 40), config="c", topic_id=IDENTITY.topic_id, group="")
    restore, _ = restored([(12, ours)])
    log = restore.done()
    assert log.needed_from(resume_offset=39, retained_from_ms=10_000) == 12
    assert log.needed_from(resume_offset=40, retained_from_ms=900) == 12
    assert log.needed_from(resume_offset=40, retained_from_ms=901) == 30


def test_levels_are_those_of_the_last_decision_of_ours_that_tells_some() -> None:
    told = [
        (10, 2, "", ((1, 2),)),
        (11, 3, "", ()),
        (12, 4, "another", ((5, 6),)),
    ]
    restore, _ = restored(
        [
            (offset, encode(replace(a_decision(trace, 40), levels=levels), config="c", **ids))
            for offset, trace, group, levels in told
            for ids in ({"topic_id": IDENTITY.topic_id, "group": group},)
        ]
    )
    levels = restore.done().levels
    assert levels is not None
    assert (levels[0], [*map(list, levels[1])]) == ("c", [[1, 2]])


def test_hints_of_another_topic_are_not_used() -> None:
    metadata = hints.encode(HINTS, Identity("cluster", "another"))
    point = point_of(LogState(50, metadata, 0, 100, 2, 30))
    assert (point.time_ms, point.decisions_from, point.dead_letters_upto) == (0, 2, 0)


def test_decisions_of_another_group_on_the_same_input_are_not_ours() -> None:
    theirs = encode(a_decision(1, 40), config="c", topic_id=IDENTITY.topic_id, group="another")

    restore, decisions = restored([(10, theirs)])

    assert (restore.foreign, restore.unreadable) == (1, 0)
    assert decisions.get(trace_id_of(1)) is None


def test_a_decisions_topic_that_was_made_anew_is_read_from_its_start() -> None:
    point = point_of(log_state(decisions=(0, 5)))

    assert (point.decisions_from, point.decisions_end) == (0, 5)
