"""Where a partition that was just assigned starts, and what it must know before it is ready."""

from dataclasses import dataclass

from stream.kafka.log_state import NO_OFFSET, Identity, LogState
from stream.sampling.decision import decode
from stream.sampling.stores import DecisionStore, KnownDecision
from stream.worker import hints
from stream.worker.decision_log import DecisionLog
from stream.worker.hints import Hints

PUT_RECORDS = 1_000


class OffsetAboveEndError(Exception):
    """The committed offset lies above the end of the log: it was truncated, or is another log."""


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where to start. `lost` records were deleted by retention before they were decided.

    `decisions_missing` records of the decisions topic were expected and are gone.
    """

    offset: int
    time_ms: int
    decisions_from: int
    decisions_end: int
    dead_letters_upto: int
    lost: int
    decisions_missing: int


def resume_point(log: LogState, *, identity: Identity, initial_offset: str) -> ResumePoint:
    """Return where to start: at the committed resume offset, with its hints where they hold.

    Raises:
        OffsetAboveEndError: the log ends below the committed offset.
    """
    if log.committed == NO_OFFSET:
        offset = log.start if initial_offset == "earliest" else log.end
        return ResumePoint(offset, 0, log.decisions_start, log.decisions_end, 0, 0, 0)
    if log.committed > log.end:
        raise OffsetAboveEndError(
            f"the committed offset {log.committed} lies above the end of the log, {log.end}"
        )
    held = hints.decode(log.metadata, offset=log.committed, identity=identity)
    found = held or Hints(log.committed, 0, 0, 0, 0)
    # A decisions topic that was made anew ends below what the hints say of the old one.
    decisions_from = found.decisions_from if found.decisions_next <= log.decisions_end else 0
    return ResumePoint(
        offset=max(log.committed, log.start),
        time_ms=found.time_ms,
        decisions_from=max(decisions_from, log.decisions_start),
        decisions_end=log.decisions_end,
        dead_letters_upto=found.dead_letters_upto,
        lost=max(0, log.start - log.committed),
        decisions_missing=_missing(held, log),
    )


class Restore:
    """Reads a partition's decision records into its store, in their order."""

    def __init__(self, point: ResumePoint, *, identity: Identity, decisions: DecisionStore) -> None:
        self.log = DecisionLog(point.decisions_from)
        self.foreign = 0
        self._identity = identity
        self._decisions = decisions
        self._point = point

    def read(self, records: list[tuple[int, bytes]]) -> None:
        """Take records, each (offset, value). Those of another topic or group are counted."""
        known: list[tuple[bytes, KnownDecision]] = []
        for offset, value in records:
            try:
                decision, *origin = decode(value)
            except ValueError:
                self.foreign += 1
                continue
            if origin != [self._identity.topic_id, self._identity.group]:
                self.foreign += 1
                continue
            self.log.append(decision, offset)
            known.append((decision.trace_id, KnownDecision.of(decision)))
        self._decisions.put(known)

    def done(self) -> DecisionLog:
        """Everything up to the end has been read."""
        self.log.advance(self._point.decisions_end)
        return self.log


def _missing(held: Hints | None, log: LogState) -> int:
    if held is None:
        return 0
    before = max(0, min(log.decisions_start, held.decisions_next) - held.decisions_from)
    after = max(0, held.decisions_next - log.decisions_end)
    return before + after
