"""Planted bugs of restores: hints, resume points, the two phases of reading decisions."""

import dataclasses
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from stream.kafka.log_state import Identity
from stream.sampling.decision import Decision
from stream.sampling.pins import HeldPin
from stream.sampling.stores import KnownDecision
from stream.state.memory import MemoryDecisionStore
from stream.testing.log import Broker
from stream.worker import hints, restore
from stream.worker.decision_log import DecisionLog
from stream.worker.hints import Hints
from stream.worker.partition import Partition
from stream.worker.restore import Restore, ResumePoint
from stream.worker.worker import Worker
from tests.simulation.bug import Patch, bug

RESUME_POINT = "stream.testing.driver.resume_point"


def restored_as(patch: Patch, change: Callable[[KnownDecision], KnownDecision]) -> None:
    """Change what a restore, and nobody else, makes of decisions."""

    def of(decision: Decision) -> KnownDecision:
        return change(KnownDecision.of(decision))

    patch.setattr(restore, "KnownDecision", SimpleNamespace(of=of))


@bug
def a_late_decision_has_the_upto_of_the_first(patch: Patch) -> None:
    read = Restore.read

    def first_upto(self: Restore, records: list[tuple[int, bytes]]) -> None:
        for record in records:
            read(self, [record])

    put = MemoryDecisionStore.put

    def keep_upto(self: MemoryDecisionStore, found: Sequence[Any]) -> None:
        kept = []
        for trace_id, one in found:
            before = self.get(trace_id)
            kept.append((trace_id, dataclasses.replace(one, upto=before.upto) if before else one))
        put(self, kept)

    patch.setattr(Restore, "read", first_upto)
    patch.setattr(MemoryDecisionStore, "put", keep_upto)


@bug
def decisions_are_not_restored(patch: Patch) -> None:
    patch.setattr(Restore, "read", lambda *_: None)


@bug
def span_ids_are_not_restored(patch: Patch) -> None:
    restored_as(patch, lambda known: dataclasses.replace(known, span_ids=b""))


@bug
def hints_are_used_though_their_offset_disagrees(patch: Patch) -> None:
    decode = hints.decode

    def trusting(metadata: str | None, *, offset: int, identity: Any) -> Hints | None:
        for guess in (offset, offset + 3):
            found = decode(metadata, offset=guess, identity=identity)
            if found is not None:
                return found
        return None

    patch.setattr(hints, "decode", trusting)


@bug
def partition_time_is_not_restored(patch: Patch) -> None:
    point = restore.resume_point
    patch.setattr(
        "stream.testing.driver.resume_point",
        lambda *args, **more: dataclasses.replace(point(*args, **more), time_ms=0),
    )


@bug
def hints_are_used_though_their_topic_is_another(patch: Patch) -> None:
    decode = hints.decode

    def trusting(metadata: str | None, *, offset: int, identity: Identity) -> Hints | None:
        for topic_id in (identity.topic_id, "topic-0"):
            guess = dataclasses.replace(identity, topic_id=topic_id)
            found = decode(metadata, offset=offset, identity=guess)
            if found is not None:
                return found
        return None

    patch.setattr(hints, "decode", trusting)


@bug
def hints_that_were_lost_mean_that_all_was_delivered(patch: Patch) -> None:
    point = restore.resume_point

    def hopeful(state: Any, **more: Any) -> ResumePoint:
        found = point(state, **more)
        if hints.decode(state.metadata, offset=state.committed, identity=more["identity"]):
            return found
        return dataclasses.replace(
            found, decisions_from=found.decisions_end, replay_from=found.decisions_end
        )

    patch.setattr(RESUME_POINT, hopeful)


@bug
def decisions_are_read_to_their_stable_end(patch: Patch) -> None:
    log_state = Broker.log_state

    def to_the_stable_end(self: Broker, number: int) -> Any:
        end = self.topics["decisions"][number].stable_end
        return dataclasses.replace(log_state(self, number), decisions_end=end)

    patch.setattr(Broker, "log_state", to_the_stable_end)


@bug
def decisions_of_another_group_count(patch: Patch) -> None:
    known = Restore._known

    def trusting(self: Restore, records: Any, log: DecisionLog, pins: dict[bytes, HeldPin]) -> Any:
        ours = self._identity
        found = []
        for record in records:
            for group in (ours.group, "another"):
                self._identity = dataclasses.replace(ours, group=group)
                found += known(self, [record], log, pins)
        self._identity = ours
        return found

    patch.setattr(Restore, "_known", trusting)


@bug
def a_replay_does_not_know_how_far_its_traces_are_done(patch: Patch) -> None:
    restored_as(patch, lambda known: dataclasses.replace(known, upto=0))


@bug
def a_partition_is_ready_before_any_decision_is_read(patch: Patch) -> None:
    patch.setattr(ResumePoint, "first_phase_from", property(lambda self: self.decisions_end))


@bug
def the_older_decisions_are_never_read(patch: Patch) -> None:
    patch.setattr(ResumePoint, "older_records", 0)


@bug
def cuts_are_not_held_while_older_decisions_are_read(patch: Patch) -> None:
    ready = Worker.ready

    def whole(self: Worker, partition: Any, **_: bool) -> None:
        ready(self, partition, whole=True)

    patch.setattr(Worker, "ready", whole)


@bug
def a_successor_is_not_told_of_the_older_decisions(patch: Patch) -> None:
    patch.setattr(DecisionLog, "put_before", lambda *_: None)


@bug
def an_older_decision_replaces_a_newer_one(patch: Patch) -> None:
    patch.setattr("stream.sampling.tail_sampler.news_to", lambda _, decisions: dict(decisions))


@bug
def what_retention_took_is_not_counted(patch: Patch) -> None:
    point = restore.resume_point
    patch.setattr(RESUME_POINT, lambda *a, **more: dataclasses.replace(point(*a, **more), lost=0))


@bug
def a_partition_that_was_added_is_read_from_its_end(patch: Patch) -> None:
    point = restore.resume_point
    patch.setattr(
        RESUME_POINT, lambda state, **more: point(state, **{**more, "initial_offset": "latest"})
    )


@bug
def limits_begin_anew_after_a_restore(patch: Patch) -> None:
    patch.setattr(Partition, "_restore_levels", lambda _: None)


@bug
def limits_go_on_from_the_first_phase_alone(patch: Patch) -> None:
    put_before = DecisionLog.put_before

    def without_levels(self: DecisionLog, older: DecisionLog) -> None:
        older.levels = None
        put_before(self, older)

    patch.setattr(DecisionLog, "put_before", without_levels)


@bug
def limits_go_on_from_what_late_spans_tell(patch: Patch) -> None:
    tell = DecisionLog.tell_levels
    patch.setattr(
        DecisionLog, "tell_levels", lambda self, levels, config: tell(self, levels or ((),), config)
    )
