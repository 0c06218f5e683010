"""What a failure means for the process: which exit code, and what whoever runs it should do."""

from typing import Any, NoReturn

from stream.exits import Exit, end_process
from stream.kafka.errors import (
    ClientEndedError,
    KafkaException,
    is_fenced,
    is_operators_fault,
    is_out_of_range,
    is_passing,
    is_unreachable,
)
from stream.kafka.partition_log import PartitionsMissingError
from stream.kafka.transactions import FencedError, RefusedError, UnknownOutcomeError
from stream.slot import SOON_S, WAIT_S, Slot
from stream.state.directory import StorageError
from stream.worker.restore import OffsetAboveEndError

REFUSED = (
    "grant the worker's principal what the message names, or mend the topic that it names; where "
    "it speaks of timestamps, this machine's clock, and of offset metadata, the brokers' "
    "offset.metadata.max.bytes (Kafka's 4096 will do); `tailstream topics` checks all four topics"
)
LIMIT = (
    "raise max.message.bytes of the dead letters and the decisions topic: a pointer and a decision "
    "take some hundred bytes"
)
FENCED = (
    "give every worker its own worker.instance_id: two with the same one fence each other. After a "
    "long pause or a lost network this is expected once: start it again. Where the fence came "
    f"within {SOON_S:g} s of the start, the next start first waits {WAIT_S:g} s"
)
ABOVE_END = (
    "the input topic was truncated or replaced: check it, then reset the group's offsets on "
    "purpose, e.g. kafka-consumer-groups.sh --reset-offsets --to-latest"
)


class PointerRefusedError(Exception):
    """The broker refuses even a pointer, or a decision: it would refuse it for ever."""


def end_for(problem: BaseException, slot: Slot) -> NoReturn:
    """End the process for this problem; whatever was under way is replayed from Kafka."""
    match problem:
        case OffsetAboveEndError():
            end_process(Exit.OPERATOR, str(problem), remedy=ABOVE_END)
        case PartitionsMissingError() | StorageError():
            # Storage is a disk that filled up: it is wiped at the next start, and replayed.
            end_process(Exit.OPERATOR, str(problem))
        case PointerRefusedError():
            end_process(Exit.OPERATOR, f"refused even as a pointer: {problem}", remedy=LIMIT)
        case RefusedError():
            end_process(Exit.OPERATOR, str(problem), remedy=REFUSED)
        case FencedError():
            _end_fenced(slot, str(problem))
        case UnknownOutcomeError():
            why = f"whether a transaction committed is unknown: {problem}"
            end_process(Exit.WATCHDOG, why)
        case TimeoutError():
            end_process(Exit.WATCHDOG, "no end of a transaction while the group waits for it")
        case ClientEndedError():
            end_process(Exit.WATCHDOG, f"the client cannot go on: {problem}")
        case KafkaException():
            _end_for_kafka(problem.args[0], slot)
    end_process(Exit.BUG, "the worker cannot go on", problem=problem)


def _end_fenced(slot: Slot, why: str) -> NoReturn:
    slot.fenced()
    end_process(Exit.FENCED, f"fenced: another worker has {slot} now ({why})", remedy=FENCED)


def _end_for_kafka(error: Any, slot: Slot) -> None:
    if is_fenced(error):
        _end_fenced(slot, error.str())
    if is_operators_fault(error):
        end_process(Exit.OPERATOR, error.str(), remedy=REFUSED)
    if is_unreachable(error):
        end_process(Exit.WATCHDOG, f"the broker did not answer: {error.str()}")
    if is_out_of_range(error):
        # The restart finds where the log begins now, goes on there, and counts what is lost.
        end_process(Exit.WATCHDOG, f"retention has passed the position: {error.str()}")
    if is_passing(error):
        end_process(Exit.WATCHDOG, f"the broker was not ready for it: {error.str()}")
