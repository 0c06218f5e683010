"""Producing and committing: one transaction, or, where a broker has none, the same steps in turn.

Only the transaction thread calls what blocks here. librdkafka's `send_offsets_to_transaction` can
hang for ever after a coordinator was lost (librdkafka issue 5456), so the caller keeps a watchdog.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from stream import clock, logs
from stream.kafka.client_log import LOGGER
from stream.kafka.client_settings import connection
from stream.kafka.commit import PartitionCommit, Receipt
from stream.kafka.errors import (
    is_fenced,
    is_message_fault,
    is_operators_fault,
    is_passing,
    is_unknown_partition,
    is_unknown_topic,
    needed_permission,
)
from stream.kafka.producing import RETRY_WAIT_S, produce, produce_checked

CALL_TIMEOUT_S = 30.0
FLUSH_STEP_S = 0.5
MISSING_AFTER_S = 3.0
LOOK_TIMEOUT_S = 1.0
NO_TOPIC = "no such topic: "
NOT_ACKNOWLEDGED = "is the broker there, its disk full, are enough replicas in sync?"
BLANK_GENERATION = b"\xff\xff\xff\xff"

log = logs.logger("tailstream.kafka")


class AbortedError(Exception):
    """Nothing of the transaction happened. `message_fault`: one of its records was refused."""

    def __init__(self, problem: object, *, message_fault: bool) -> None:
        super().__init__(str(problem))
        self.message_fault = message_fault


class FencedError(Exception):
    """Another worker uses our transactional id, or took over while we were away."""


class RefusedError(Exception):
    """The broker refuses us until an operator grants or mends something."""


class UnknownOutcomeError(Exception):
    """Whether it committed cannot be known here: start again from what Kafka says."""


class Committer(Protocol):
    """How a worker's transactions reach the broker. `doing`: the step that is under way."""

    doing: str

    def start(self) -> None:
        """Fence predecessors. Returns when no transaction of theirs is open."""

    def commit(self, commits: Sequence[PartitionCommit], group_metadata: Any) -> Receipt:
        """Produce and commit, whole.

        Raises:
            AbortedError: nothing of it happened.
            FencedError, RefusedError, UnknownOutcomeError: the process must end.
        """


class TransactionalCommitter:
    """Exactly once: records, resume offsets and positions in one transaction."""

    def __init__(self, settings: dict[str, Any], *, topic: str, position_group: str | None) -> None:
        self._producer = Producer(settings, logger=LOGGER)
        self._topic = topic
        self.doing = ""
        self._id = settings["transactional.id"]
        self._position_group = position_group
        # A group without members: its metadata is blank, which such a group accepts.
        self._positions = _position_client(settings, position_group) if position_group else None

    def start(self) -> None:
        """Abort what a predecessor left open, and fence it."""
        until_s = clock.monotonic_s() + CALL_TIMEOUT_S
        while True:
            try:
                self._producer.init_transactions(max(1.0, until_s - clock.monotonic_s()))
            except KafkaException as problem:
                error = problem.args[0]
                if is_operators_fault(error):
                    raise self._refused(error, ()) from problem
                # The predecessor's transaction is still being aborted, or its coordinator moves.
                if error.fatal() or not is_passing(error) or clock.monotonic_s() > until_s:
                    raise
                time.sleep(RETRY_WAIT_S)
            else:
                return

    def commit(self, commits: Sequence[PartitionCommit], group_metadata: Any) -> Receipt:
        """See `Committer.commit`."""
        started = clock.monotonic_s()
        refuse_blank(group_metadata)
        ends: dict[int, int] = {}
        committing = False
        try:
            self.doing = "producing"
            self._producer.begin_transaction()
            produce(self._producer, commits, ends)
            while left := self._producer.flush(FLUSH_STEP_S):
                self.doing = f"{left} records not acknowledged: {NOT_ACKNOWLEDGED}"
                # librdkafka keeps what it has not sent when a transaction has failed, and says why
                # only where it is asked for the next step; taken twice, this one is taken once.
                self._refuse_missing(commits, started)
                self._ask_why(commits, group_metadata)
            self.doing = "sending offsets"
            self._send_offsets(commits, group_metadata)
            self.doing = "committing"
            committing = True
            _retry(lambda: self._producer.commit_transaction(CALL_TIMEOUT_S))
        except KafkaException as problem:
            cause = self._cause(problem, commits, group_metadata)
            self._abort(cause, commits, committing=committing)
        except SystemError:
            # A fatal error is raised from the midst of a call, which may go on to log: Python finds
            # an exception beside the logger's result. The next step says which it was.
            next_problem = self._next_problem(commits, group_metadata)
            if next_problem is None:
                raise
            self._abort(next_problem, commits, committing=committing)
        return Receipt(ends, clock.monotonic_s() - started)

    def _cause(
        self, problem: KafkaException, commits: Sequence[PartitionCommit], group_metadata: Any
    ) -> KafkaException:
        """A record of a transaction that has failed is refused; why is said at the next step."""
        if problem.args[0].code() == KafkaError._STATE:  # noqa: SLF001 - librdkafka's public code
            return self._next_problem(commits, group_metadata) or problem
        return problem

    def _next_problem(
        self, commits: Sequence[PartitionCommit], group_metadata: Any
    ) -> KafkaException | None:
        """Return why the next step fails, None if it does not."""
        try:
            self._send_offsets(commits, group_metadata)
        except KafkaException as problem:
            return problem
        return None

    def _ask_why(self, commits: Sequence[PartitionCommit], group_metadata: Any) -> None:
        """Take the next step for what it says; it may wait for the records, and is resumed then."""
        try:
            for offsets, metadata in self._offsets(commits, group_metadata):
                self._producer.send_offsets_to_transaction(offsets, metadata, LOOK_TIMEOUT_S)
        except KafkaException as problem:
            if not _is_retriable(problem.args[0]):
                raise

    def _send_offsets(self, commits: Sequence[PartitionCommit], group_metadata: Any) -> None:
        send = self._producer.send_offsets_to_transaction
        for offsets, metadata in self._offsets(commits, group_metadata):
            _retry(partial(send, offsets, metadata, CALL_TIMEOUT_S))

    def _offsets(
        self, commits: Sequence[PartitionCommit], group_metadata: Any
    ) -> Iterator[tuple[list[Any], Any]]:
        """Yield the offsets of each group, and its metadata."""
        offsets = _resume_offsets(commits, self._topic)
        assert offsets, "a transaction without offsets is not fenced"
        yield offsets, group_metadata
        if self._positions is not None:
            yield _positions(commits, self._topic), self._positions.consumer_group_metadata()

    def _abort(
        self, problem: KafkaException, commits: Sequence[PartitionCommit], *, committing: bool
    ) -> None:
        """Abort, and say so; whatever leaves a doubt, or cannot get better, is said instead.

        Before it was `committing`, nothing can have happened: any failure is only an abort.
        """
        error = problem.args[0]
        if error.fatal():
            raise self._fatal(error, commits) from problem
        if committing and not error.txn_requires_abort() and not is_message_fault(error):
            raise UnknownOutcomeError(str(error)) from problem
        if is_unknown_topic(error) and (missing := self._missing(commits)):
            raise RefusedError(f"{NO_TOPIC}{missing}") from problem
        try:
            _retry(lambda: self._producer.abort_transaction(CALL_TIMEOUT_S))
        except KafkaException as failed:
            # A broker that refused all of a transaction knows of none that it could abort.
            if is_operators_fault(error):
                raise self._refused(error, commits) from problem
            if failed.args[0].fatal():
                raise self._fatal(failed.args[0], commits) from problem
            raise UnknownOutcomeError(f"{error}; abort failed: {failed.args[0]}") from problem
        if is_unknown_partition(error) and _grown(self._producer, commits):
            # The topics have grown since the producer last looked: the next transaction goes.
            raise AbortedError(error, message_fault=False) from problem
        if is_operators_fault(error):
            raise self._refused(error, commits) from problem
        raise AbortedError(error, message_fault=is_message_fault(error)) from problem

    def _fatal(self, error: Any, commits: Sequence[PartitionCommit]) -> Exception:
        if is_operators_fault(error):
            return self._refused(error, commits)
        return _fatal(error)

    def _refused(self, error: Any, commits: Sequence[PartitionCommit]) -> RefusedError:
        names = {
            "topic": " or ".join(sorted(_topics(commits))),
            "group": f"the worker's group or {self._position_group}",
            "transactional id": self._id,
        }
        return _refused(error, names)

    def _refuse_missing(self, commits: Sequence[PartitionCommit], started_s: float) -> None:
        """Do not wait as long as librdkafka, which takes a topic that is gone for a new one."""
        if clock.monotonic_s() < started_s + MISSING_AFTER_S:
            return
        missing = self._missing(commits)
        if missing:
            unknown = KafkaError._UNKNOWN_TOPIC  # noqa: SLF001 - librdkafka's public code
            raise KafkaException(KafkaError(unknown, f"{NO_TOPIC}{missing}"))

    def _missing(self, commits: Sequence[PartitionCommit]) -> str:
        try:
            known = self._producer.list_topics(timeout=LOOK_TIMEOUT_S).topics
        except KafkaException:
            return ""
        return ", ".join(sorted(_topics(commits) - known.keys()))


class AtLeastOnceCommitter:
    """For brokers without transactions: produce, flush, then commit. A crash between repeats."""

    def __init__(
        self,
        settings: dict[str, Any],
        *,
        topic: str,
        position_group: str | None,
        commit_offsets: Callable[[list[Any]], None],
    ) -> None:
        self._producer = Producer(settings, logger=LOGGER)
        self.doing = "producing"
        self._topic = topic
        self._commit_offsets = commit_offsets
        self._positions = _position_client(settings, position_group) if position_group else None

    def start(self) -> None:
        """There is nobody to fence."""

    def commit(self, commits: Sequence[PartitionCommit], group_metadata: Any) -> Receipt:
        """See `Committer.commit`. After an abort, what was produced already comes again."""
        del group_metadata
        started = clock.monotonic_s()
        ends: dict[int, int] = {}
        failures: list[Any] = []
        try:
            for decisions in (False, True):
                # A decision says that its spans are out: it must not land before they have.
                produce_checked(self._producer, commits, ends, failures, decisions=decisions)
                _refuse_undelivered(failures, self._producer.flush(CALL_TIMEOUT_S))
            self._commit_offsets(_resume_offsets(commits, self._topic))
        except KafkaException as problem:
            error = problem.args[0]
            if is_operators_fault(error):
                names = {"topic": " or ".join(sorted(_topics(commits)))}
                raise _refused(error, names) from problem
            if error.fatal():
                raise _fatal(error) from problem
            raise AbortedError(error, message_fault=is_message_fault(error)) from problem
        self._commit_positions(commits)
        return Receipt(ends, clock.monotonic_s() - started)

    def _commit_positions(self, commits: Sequence[PartitionCommit]) -> None:
        """Positions are for the eyes: the resume offsets are committed, so nothing is undone."""
        if self._positions is None:
            return
        try:
            self._positions.commit(offsets=_positions(commits, self._topic), asynchronous=False)
        except KafkaException as problem:
            log.warning("position group not committed", error=str(problem.args[0]))


def _grown(producer: Any, commits: Sequence[PartitionCommit]) -> bool:
    """Ask for the topics anew; return whether they have the partitions that are written to."""
    wanted: dict[str, int] = {}
    for commit in commits:
        for record in commit.records:
            if record.partition is not None:
                wanted[record.topic] = max(wanted.get(record.topic, 0), record.partition)
    try:
        return all(
            number < len(producer.list_topics(topic, CALL_TIMEOUT_S).topics[topic].partitions)
            for topic, number in wanted.items()
        )
    except KafkaException:
        return True


def _fatal(error: Any) -> Exception:
    return FencedError(str(error)) if is_fenced(error) else UnknownOutcomeError(str(error))


def _refused(error: Any, names: Mapping[str, str]) -> RefusedError:
    """Say what the principal lacks; the broker's answer names the kind of thing alone."""
    kind, permission = needed_permission(error)
    lacks = f": {permission} on {kind} {names[kind]}" if kind in names else ""
    return RefusedError(f"{error.str()}{lacks}")


def _topics(commits: Sequence[PartitionCommit]) -> set[str]:
    return {record.topic for commit in commits for record in commit.records}


def _refuse_undelivered(failures: list[Any], left: int) -> None:
    if failures:
        raise KafkaException(failures[0])
    if left:
        timed_out = KafkaError._TIMED_OUT  # noqa: SLF001 - librdkafka's public code
        raise KafkaException(KafkaError(timed_out, f"{left} records without an answer"))


def refuse_blank(group_metadata: Any) -> None:
    """A classic group accepts the offsets of a consumer that never joined: that would not fence.

    The generation is the int32 after the seven bytes `CGMDv2:` of librdkafka's serialised form.
    """
    if group_metadata is None or bytes(group_metadata)[7:11] == BLANK_GENERATION:
        raise AbortedError("not a member of the group", message_fault=False)


def _retry(call: Callable[[], Any]) -> Any:
    """Retry what librdkafka calls retriable; the caller's watchdog bounds it."""
    while True:
        try:
            return call()
        except KafkaException as problem:
            if not _is_retriable(problem.args[0]):
                raise
            time.sleep(RETRY_WAIT_S)


def _is_retriable(error: Any) -> bool:
    return error.retriable() and not error.txn_requires_abort() and not error.fatal()


def _resume_offsets(commits: Sequence[PartitionCommit], topic: str) -> list[Any]:
    return [
        TopicPartition(topic, commit.partition, commit.resume_offset, commit.metadata)
        for commit in commits
    ]


def _positions(commits: Sequence[PartitionCommit], topic: str) -> list[Any]:
    return [
        TopicPartition(topic, commit.partition, commit.position, commit.times) for commit in commits
    ]


def _position_client(settings: dict[str, Any], group: str) -> Any:
    """Return a client that never joins: a group without members takes offsets from anybody."""
    own = {"group.id": group, "enable.auto.commit": False}
    return Consumer({**connection(settings), **own}, logger=LOGGER)
