"""Where a partition that was just assigned starts, and what it must know before it is ready.

Its decisions are restored in two phases. First those that reach above the resume offset: a replayed
record below one of them is done. Then the partition is ready, and reads its input. The older rest
is there for late spans alone, and is read beside the replay; until it has been read, *nothing is
cut and nothing is committed*: folding stops before the first record that might cut. So nothing
differs from reading all at once:

1. A record below the resume offset is never folded, and every older decision covers only such
   records. So a fragment of its trace is late, whenever the decision becomes known.
2. Before a cut, what an unknown decision changes is where a fragment is added up: in an open trace
   instead of in a late delivery. Both hold the same sums, offsets, times and bodies, and
   `TailSampler.learn` turns one into the other. No policy is asked, no limit reached, no time
   moved: those are what might cut, and the partition time is the records' alone.
3. When the rest is read, the sampler is therefore in the state that reading all at once gives at
   this position, but for the order of undelivered late spans, which no decision depends on. From
   there on they are the same program.
4. A crash in between has committed nothing: the successor finds the same offset and hints.

It costs little: a trace that a replay opens is due a whole window later, so the first cut comes
about where the replay ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream.kafka.log_state import NO_OFFSET, Identity, LogState
from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.control import SOURCE_BYTES_MAX
from stream.sampling.decision import Verdict, fields_of
from stream.sampling.late import in_topic_order
from stream.sampling.pins import HeldPin
from stream.sampling.stores import DecisionStore, KnownDecision
from stream.worker import hints
from stream.worker.decision_log import DecisionLog
from stream.worker.hints import Hints

TRACE_ID_BYTES = 16
INT64_MAX = 2**63 - 1
TH_MAX = UNKNOWN_THRESHOLD
"""A rejection threshold has 56 bits (OpenTelemetry, TraceState `th`), or is not known."""


class OffsetAboveEndError(Exception):
    """The committed offset lies above the end of the log: it was truncated, or is another log."""


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where to start. `lost` records were deleted by retention before they were decided.

    `decisions_missing` records of the decisions topic were expected and are gone. Decisions below
    `replay_from` can wait for the second phase. Records below `replay_upto` were read before.
    """

    offset: int
    time_ms: int
    decisions_from: int
    decisions_end: int
    dead_letters_upto: int
    lost: int
    decisions_missing: int
    replay_from: int = 0
    replay_upto: int = 0

    @property
    def first_phase_from(self) -> int:
        """The first decision to read before the partition is ready."""
        return max(self.decisions_from, self.replay_from)

    @property
    def older_records(self) -> int:
        """How many offsets of the decisions topic the second phase covers."""
        return self.first_phase_from - self.decisions_from


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
    # Without hints whatever the log holds may have been read before, and decided.
    found = held or Hints(log.committed, 0, log.end, 0, 0, 0, 0)
    # A decisions topic that was made anew ends below what the hints say of the old one.
    anew = found.decisions_next > log.decisions_end
    return ResumePoint(
        offset=max(log.committed, log.start),
        time_ms=found.time_ms,
        decisions_from=max(0 if anew else found.decisions_from, log.decisions_start),
        decisions_end=log.decisions_end,
        dead_letters_upto=found.dead_letters_upto,
        lost=max(0, log.start - log.committed),
        decisions_missing=_missing(held, log),
        replay_from=0 if anew else found.replay_from,
        replay_upto=min(found.position, log.end),
    )


class Restore:
    """Reads a partition's decision records, in their order: `read` the first phase into its store.

    `foreign` counts those of another topic or group, `unreadable` what a worker does not write.
    `pins` are those that the first phase has found, `older_pins` those of the second, by trace id.
    """

    def __init__(self, point: ResumePoint, *, identity: Identity, decisions: DecisionStore) -> None:
        self.foreign = self.unreadable = 0
        self.pins: dict[bytes, HeldPin] = {}
        self.older_pins: dict[bytes, HeldPin] = {}
        self.older_log = DecisionLog(point.decisions_from)
        self._log = DecisionLog(point.first_phase_from)
        self._identity = identity
        self._decisions = decisions
        self._point = point

    def read(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Take records of the first phase, each (offset, value)."""
        self.put(self.decoded(records))

    def decoded(self, records: Sequence[tuple[int, bytes]]) -> list[tuple[bytes, KnownDecision]]:
        """Decode records of the first phase; return what is to be `put`.

        On any thread. The store is not: it shares a budget with those of the other partitions, so
        whoever puts may spill what is theirs.
        """
        return self._known(records, self._log, self.pins)

    def put(self, known: Sequence[tuple[bytes, KnownDecision]]) -> None:
        """Put them into the store, on the thread that owns all state."""
        self._decisions.put(in_topic_order(self._decisions, known))

    def read_older(self, records: Sequence[tuple[int, bytes]]) -> list[tuple[bytes, KnownDecision]]:
        """Take records of the second phase; return what there is to `learn`.

        A read may go on into what the first phase has read.
        """
        end = self._point.first_phase_from
        older = [one for one in records if one[0] < end]
        return self._known(older, self.older_log, self.older_pins)

    def done(self) -> DecisionLog:
        """Everything of the first phase has been read."""
        self._log.advance(self._point.decisions_end)
        return self._log

    def _known(
        self, records: Sequence[tuple[int, bytes]], log: DecisionLog, pins: dict[bytes, HeldPin]
    ) -> list[tuple[bytes, KnownDecision]]:
        known: list[tuple[bytes, KnownDecision]] = []
        for offset, value in records:
            try:
                trace_id, found, fields = self._ours(value)
            except _ForeignError:
                self.foreign += 1
                continue
            except Exception:  # noqa: BLE001 - a foreign writer can make it raise nearly anything
                self.unreadable += 1
                continue
            log.append(found, offset)
            log.tell_levels(fields.get("levels", ()), fields.get("config", ""))
            if found.verdict is Verdict.PENDING:
                source, expires_ms = fields.get("source", ""), fields["expires_ms"]
                pins[trace_id] = HeldPin(found.upto - 1, expires_ms, source)
            else:
                known.append((trace_id, found))
        return known

    def _ours(self, value: bytes) -> tuple[bytes, KnownDecision, Mapping[str, Any]]:
        fields = fields_of(value)
        if (fields["topic_id"], fields["group"]) != (self._identity.topic_id, self._identity.group):
            raise _ForeignError
        trace_id, found = fields["trace_id"], KnownDecision.read(fields)
        if type(trace_id) is not bytes or len(trace_id) != TRACE_ID_BYTES or not _sound(fields):
            raise ValueError("not as a worker writes it")
        return trace_id, found, fields


class _ForeignError(Exception):
    """A decision of another group, or about another topic: nothing is wrong with it."""


def _sound(fields: Mapping[str, Any]) -> bool:
    """Tell whether late spans can follow it: what a worker would not write would end the process.

    Again at each start, for as long as the topic keeps the record.
    """
    numbers = (fields["upto"], INT64_MAX), (fields["time_ms"], INT64_MAX), (fields["th"], TH_MAX)
    return (
        all(type(number) is int and 0 <= number <= most for number, most in numbers)
        and type(fields["policy"]) is str
        and type(fields.get("span_ids", b"")) is bytes
        and type(fields.get("span_ids_complete", True)) is bool
        and (fields["verdict"] != Verdict.PENDING or _is_pin(fields))
    )


def _is_pin(fields: Mapping[str, Any]) -> bool:
    source, expires_ms = fields["source"], fields["expires_ms"]
    return (
        type(expires_ms) is int
        and 0 <= expires_ms <= INT64_MAX
        and type(source) is str
        and len(source) <= SOURCE_BYTES_MAX
        and fields["upto"] > 0
    )


def _missing(held: Hints | None, log: LogState) -> int:
    if held is None:
        return 0
    before = max(0, min(log.decisions_start, held.decisions_next) - held.decisions_from)
    after = max(0, held.decisions_next - log.decisions_end)
    return before + after
