"""What a partition's share of a transaction holds."""

import pytest

from stream.kafka.commit import Produce
from stream.otlp.span_key import span_key
from stream.sampling.decision import Decision, Trigger, Verdict, decode
from stream.sampling.limits import Limits, Windows
from stream.state.memory import MemoryDecisionStore
from stream.testing.core import (
    IDENTITY,
    Core,
    a_bad_record,
    a_record,
    a_tick,
    an_error,
    an_ordinary,
    scanned,
)
from stream.testing.spans import a_span, span_id_of, spans_of, trace_id_of
from stream.worker import decision_log, hints
from stream.worker.hints import Hints
from stream.worker.partition import Partition, PartitionPlan
from stream.worker.restore import Restore, ResumePoint

CORE = Core()


def plan_all(partition: Partition) -> PartitionPlan:
    return partition.plan(count_max=1_000, bytes_max=1 << 30)


def deliver(partition: Partition, decisions_end: int | None = None) -> PartitionPlan:
    plan = plan_all(partition)
    partition.committed(plan, decisions_end=decisions_end)
    return plan


def to(plan: PartitionPlan, topic: str) -> list[Produce]:
    return [record for record in plan.records if record.topic == topic]


def decisions_of(plan: PartitionPlan) -> list[Decision]:
    return [decode(record.value)[0] for record in to(plan, "decisions")]


def span_ids_in(plan: PartitionPlan) -> list[bytes]:
    return [span.span_id for record in to(plan, "output") for span in spans_of(record.value)]


def headers(record: Produce) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def hints_of(plan: PartitionPlan) -> Hints:
    found = hints.decode(plan.metadata, offset=plan.resume_offset, identity=IDENTITY)
    assert found is not None
    return found


def folded(*traces: int) -> Partition:
    """Return a partition with these traces kept and due, a record each."""
    partition = CORE.partition(3)
    for offset, trace in enumerate(traces):
        partition.sampler.fold([a_record(offset, 100, an_error(trace))])
    partition.sampler.fold([a_tick(len(traces), 130)])
    return partition


def test_a_kept_trace_goes_out_whole_with_its_decision_behind_it() -> None:
    partition = CORE.partition(3)
    partition.sampler.fold(
        [a_record(0, 100, an_error(1)), a_record(1, 101, an_ordinary(1, first_span=2))]
    )
    partition.sampler.fold([a_tick(2, 130)])
    plan = plan_all(partition)
    output, decision = plan.records
    trace_id = trace_id_of(1).hex()
    assert (output.topic, output.partition, output.key) == ("output", 3, trace_id.encode())
    assert span_ids_in(plan) == [span_id_of(1), span_id_of(2)]
    assert headers(output) == {
        "tailstream.policy": "errors",
        "tailstream.trigger": "decision_wait",
        "tailstream.delivery": f"{trace_id}:2:1/1",
    }
    assert (decision.topic, decision.partition, decision.key) == ("decisions", 3, output.key)
    assert decode(decision.value)[1] == IDENTITY.topic_id


def test_a_dropped_trace_leaves_its_decision_alone() -> None:
    partition = CORE.partition()
    partition.sampler.fold([a_record(0, 100, an_ordinary(1, spans=2)), a_tick(1, 130)])
    plan = deliver(partition)
    (decision,) = decisions_of(plan)
    assert (decision.verdict, decision.spans, len(plan.records)) == (Verdict.NOT_SAMPLED, 2, 1)
    assert partition.held_bytes()["memory"] < 1_000


def test_a_plan_says_where_to_resume_and_the_hints_repeat_it() -> None:
    partition = CORE.partition()
    partition.sampler.fold([a_record(0, 100, an_error(1)), a_record(1, 110, an_error(2))])
    partition.sampler.fold([a_tick(2, 130)])
    plan = plan_all(partition)
    assert (plan.resume_offset, plan.position) == (1, 3)
    assert hints_of(plan) == Hints(
        offset=1,
        time_ms=110,
        position=3,
        decisions_next=0,
        decisions_from=0,
        replay_from=0,
        dead_letters_upto=3,
    )


def test_the_resume_offset_never_passes_what_the_bounds_left_undelivered() -> None:
    partition = folded(1, 2, 3)
    for left in (1, 2, 4):
        plan = partition.plan(count_max=1, bytes_max=1 << 30)
        assert plan.resume_offset == left
        partition.committed(plan, decisions_end=None)


def test_a_plan_without_room_still_holds_the_resume_offset() -> None:
    partition = folded(1)
    plan = partition.plan(count_max=0, bytes_max=0)
    assert (plan.resume_offset, plan.position, plan.records) == (0, 2, [])
    partition.committed(plan, decisions_end=None)
    assert partition.sampler.undelivered == 1


def test_an_aborted_plan_comes_again_byte_for_byte() -> None:
    partition = folded(1, 2)
    first = plan_all(partition)
    partition.aborted()
    again = plan_all(partition)
    assert again.records == first.records
    assert (again.resume_offset, again.metadata) == (first.resume_offset, first.metadata)


def test_nothing_is_forgotten_before_the_commit_returned() -> None:
    partition = folded(1)
    held = partition.held_bytes()["memory"]
    plan = plan_all(partition)
    assert partition.held_bytes()["memory"] == held > 0
    assert partition.sampler.accounts.sampled == 0
    partition.committed(plan, decisions_end=7)
    assert partition.sampler.accounts.sampled == 1
    assert hints_of(plan_all(partition)).decisions_next == 7


def test_a_partition_has_something_to_say_once_and_again_when_anything_moved() -> None:
    partition = CORE.partition()
    assert partition.changed
    deliver(partition)
    assert not partition.changed
    partition.sampler.fold([a_record(0, 100, an_error(1))])
    assert partition.changed
    deliver(partition)
    assert not partition.changed


def test_spans_sent_again_are_removed_inside_a_delivery_and_on_the_late_path() -> None:
    partition = CORE.partition()
    resent = an_error(1)
    partition.sampler.fold([a_record(0, 100, resent), a_record(1, 100, resent), a_tick(2, 130)])
    plan = deliver(partition)
    partition.sampler.fold([a_record(3, 131, resent, an_error(1, first_span=2))])
    late = deliver(partition)
    assert span_ids_in(plan) == [span_id_of(1)]
    assert span_ids_in(late) == [span_id_of(2)]
    accounts = partition.sampler.accounts
    assert (accounts.sampled, accounts.late_sampled, accounts.duplicate) == (1, 1, 2)
    assert [one.duplicates for one in decisions_of(plan) + decisions_of(late)] == [1, 1]


def test_a_late_delivery_in_the_transaction_of_its_trace_knows_its_spans() -> None:
    partition = folded(1)
    partition.sampler.fold([a_record(2, 131, an_error(1, spans=2))])
    plan = deliver(partition)
    assert span_ids_in(plan) == [span_id_of(1), span_id_of(2)]
    assert partition.sampler.accounts.duplicate == 1


def test_spans_sent_again_are_removed_after_a_restart() -> None:
    partition = folded(1)
    plan = deliver(partition, decisions_end=1)
    decisions = MemoryDecisionStore()
    point = ResumePoint(2, 130, 0, 1, dead_letters_upto=2, lost=0, decisions_missing=0)
    restore = Restore(point, identity=IDENTITY, decisions=decisions)
    restore.read([(0, to(plan, "decisions")[0].value)])
    again = CORE.partition(3, decisions=decisions, restored=(point, restore))
    again.sampler.fold([a_record(2, 131, an_error(1, spans=2))])
    late = deliver(again)
    assert span_ids_in(late) == [span_id_of(2)]
    assert decisions_of(late)[0].span_ids == b"".join(span_key(span_id_of(n), 2) for n in (1, 2))


def test_the_span_ids_kept_for_late_spans_are_capped_and_say_so() -> None:
    core = Core(limits=Limits(decision_span_ids_max=2))
    partition = core.partition()
    partition.sampler.fold([a_record(0, 100, an_error(1, spans=2)), a_tick(1, 130)])
    (whole,) = decisions_of(deliver(partition))
    partition.sampler.fold([a_record(2, 131, an_error(1, first_span=3))])
    (cut_off,) = decisions_of(deliver(partition))
    assert (len(whole.span_ids), whole.span_ids_complete) == (16, True)
    assert (cut_off.span_ids, cut_off.span_ids_complete) == (whole.span_ids, False)
    partition.sampler.fold([a_record(3, 131, an_error(1, spans=2))])
    (all_known,) = decisions_of(deliver(partition))
    assert (all_known.duplicates, all_known.span_ids_complete) == (2, False)


def test_a_trace_too_large_for_one_record_goes_out_in_numbered_parts() -> None:
    core = Core(output_bytes_max=600)
    partition = core.partition()
    partition.sampler.fold([a_record(0, 100, an_error(1, spans=6)), a_tick(1, 130)])
    plan = plan_all(partition)
    output = to(plan, "output")
    assert len(output) > 1
    assert all(len(record.value) <= 600 for record in output)
    assert [headers(r)["tailstream.delivery"].split(":")[2] for r in output] == [
        f"{part}/{len(output)}" for part in range(1, len(output) + 1)
    ]
    assert sorted(span_ids_in(plan)) == [span_id_of(i) for i in range(1, 7)]


def test_a_span_that_fits_in_no_record_is_a_dead_letter_and_the_rest_goes_out() -> None:
    core = Core(output_bytes_max=600, dead_letter_bytes_max=600)
    partition = core.partition()
    huge = a_span(span_id=span_id_of(9), attributes={"stack": "x" * 2_000})
    partition.sampler.fold([a_record(0, 100, an_error(1), [huge]), a_tick(1, 130)])
    plan = deliver(partition)
    (dead,) = to(plan, "dead_letters")
    assert span_ids_in(plan) == [span_id_of(1)]
    assert len(dead.value) == 600
    assert headers(dead)["tailstream.reason"] == "span_too_large"
    assert headers(dead)["tailstream.truncated"] == "true"
    assert decisions_of(plan)[0].dead_lettered == 1
    accounts = partition.sampler.accounts
    assert (accounts.sampled, accounts.dead_lettered) == (1, 1)


def test_a_bad_record_becomes_a_dead_letter_as_it_came() -> None:
    partition = CORE.partition(3)
    partition.sampler.fold([a_bad_record(7, 100, b"\xff no OTLP")])
    (dead,) = deliver(partition).records
    assert (dead.topic, dead.partition, dead.key) == ("dead_letters", None, b"a key")
    assert dead.value == b"\xff no OTLP"
    assert headers(dead) == {
        "tailstream.reason": "malformed",
        "tailstream.topic": "input",
        "tailstream.partition": "3",
        "tailstream.offset": "7",
        "tailstream.truncated": "false",
    }


def test_the_key_of_a_dead_letter_is_left_out_where_it_is_absurd() -> None:
    partition = CORE.partition()
    partition.sampler.fold([scanned(0, 100, b"\xff", key=b"k" * 2_000)])
    (dead,) = plan_all(partition).records
    assert dead.key is None


def test_what_the_broker_refused_alone_is_reduced_to_a_pointer() -> None:
    partition = CORE.partition()
    partition.sampler.fold([a_bad_record(0, 100), a_record(1, 100, an_error(1)), a_tick(2, 130)])
    for settled in plan_all(partition).settled:
        settled.delivered.undeliverable = True
    partition.aborted()
    plan = deliver(partition)
    assert to(plan, "output") == []
    dead = to(plan, "dead_letters")
    assert [headers(record)["tailstream.offset"] for record in dead] == ["0", "1"]
    assert [headers(record)["tailstream.reason"] for record in dead] == [
        "malformed",
        "undeliverable",
    ]
    for record in dead:
        assert (record.value, headers(record)["tailstream.truncated"]) == (b"", "true")
    (decision,) = decisions_of(plan)
    assert (decision.spans, decision.dead_lettered) == (1, 1)
    assert partition.sampler.accounts.dead_lettered == 2


def test_a_successor_is_told_of_decisions_that_late_spans_in_its_replay_need() -> None:
    core = Core(Windows(decision_wait_ms=30, decision_retention_ms=60))
    partition = core.partition()
    partition.sampler.fold([a_record(0, 100, an_error(1)), a_tick(1, 130)])
    deliver(partition, decisions_end=1)
    partition.sampler.fold([a_record(2, 150, an_error(1, first_span=2)), a_tick(3, 9_000)])
    plan = partition.plan(count_max=0, bytes_max=0)
    # A replay begins at 2, at the time 150, when the decision was 20 ms old.
    assert (plan.resume_offset, hints_of(plan).time_ms) == (2, 150)
    assert hints_of(plan).decisions_from == 0


def test_what_no_successor_needs_is_forgotten_when_the_commit_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decision_log, "CHUNK_RECORDS", 1)
    core = Core(Windows(decision_wait_ms=30, decision_retention_ms=60))
    partition = core.partition()
    for turn in range(50):
        at, time_ms = 2 * turn, 100 + 100 * turn
        partition.sampler.fold(
            [a_record(at, time_ms, an_error(turn)), a_tick(at + 1, time_ms + 30)]
        )
        deliver(partition, decisions_end=turn + 1)
    assert len(partition._log._chunks) < 5


@pytest.mark.parametrize("trigger", [Trigger.DECISION_WAIT, Trigger.LATE])
def test_every_delivery_writes_a_decision_with_its_upto(trigger: Trigger) -> None:
    partition = folded(1)
    decision, upto = decisions_of(deliver(partition)), 1
    if trigger is Trigger.LATE:
        partition.sampler.fold([a_record(5, 131, an_error(1, first_span=2))])
        decision, upto = decisions_of(deliver(partition)), 6
    assert [(one.trigger, one.upto) for one in decision] == [(trigger, upto)]


def test_headers_of_its_records_go_out_with_a_trace_each_once_and_late_ones_with_the_late() -> None:
    partition = CORE.partition(0)
    first, second = a_record(0, 0, an_error(1)), a_record(1, 0, an_error(1, first_span=5))
    first.headers, second.headers = [("tenant", b"blue")], [("tenant", b"blue"), ("site", b"a")]
    late = a_record(3, 2_000, an_error(1, first_span=9))
    late.headers = [("site", b"b")]
    partition.sampler.fold([first, second, a_tick(2, 2_000), late])

    whole, rest = to(plan_all(partition), "output")

    copied = [header for header in whole.headers if not header[0].startswith("tailstream.")]
    assert copied == [("tenant", b"blue"), ("site", b"a")]
    assert ("site", b"b") in rest.headers
    assert ("tenant", b"blue") not in rest.headers


def test_a_header_that_would_not_fit_beside_the_trace_is_left_out() -> None:
    partition = CORE.partition(0)
    record = a_record(0, 0, an_error(1))
    record.headers = [("tenant", b"blue"), ("huge", b"x" * 2_000)]
    partition.sampler.fold([record, a_tick(1, 2_000)])

    (whole,) = to(plan_all(partition), "output")

    assert ("tenant", b"blue") in whole.headers
    assert "huge" not in dict(whole.headers)


def test_a_trace_keeps_so_many_headers_and_the_limit_is_counted() -> None:
    partition = CORE.partition(0)
    record = a_record(0, 0, an_error(1))
    record.headers = [("tenant", b"%d" % n) for n in range(100)]
    partition.sampler.fold([record, a_tick(1, 2_000)])

    (whole,) = to(plan_all(partition), "output")

    assert len([name for name, _ in whole.headers if name == "tenant"]) == 64
    assert partition.sampler.accounts.limits["trace_headers_max"] == 1
