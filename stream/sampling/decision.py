"""Verdicts, triggers, and the decision record of `tailstream_decisions`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgpack

from stream import compiled

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling import _decision as in_c

RECORD_VERSION = 1
VARINT_BITS = 0x7F  # seven to a byte; the eighth says that more follow
VARINT_MORE = 0x80
OFFSETS_BYTES_MAX = 2048
INT64_MAX = 2**63 - 1


class Verdict(StrEnum):
    """The fate of a trace. `PENDING` is none yet: a pin waits for the trace's first span."""

    SAMPLED = "sampled"
    NOT_SAMPLED = "not_sampled"
    PENDING = "pending"


class Vote(StrEnum):
    """One policy's opinion of a trace. `DROPPED` beats every other.

    `ERROR` is none: the policy failed. `IGNORED_ERROR` is `NOT_SAMPLED` where a part of the policy
    failed and was told to be ignored.
    """

    SAMPLED = "sampled"
    NOT_SAMPLED = "not_sampled"
    DROPPED = "dropped"
    ERROR = "error"
    IGNORED_ERROR = "ignored_error"


class Trigger(StrEnum):
    """Why a decision was taken, or a delivery made, now."""

    DECISION_WAIT = "decision_wait"
    ROOT_RECEIVED = "root_received"
    SPAN_INGEST = "span_ingest"
    SPAN_LIMIT = "span_limit"
    TRACE_BYTES_LIMIT = "trace_bytes_limit"
    OVERLOAD = "overload"
    DISK_LIMIT = "disk_limit"
    PINNED = "pinned"
    LATE = "late"
    PROMOTED = "promoted"
    PROMOTED_PARTIAL = "promoted_partial"


PROMOTIONS = frozenset((Trigger.PROMOTED, Trigger.PROMOTED_PARTIAL))
"""Of a dropped trace that was delivered after all; partial: the input did not hold all of it."""


class Clock(StrEnum):
    """What chose the cut: a record's timestamp, or the wall clock on an idle partition."""

    LOG = "log"
    WALL = "wall"


@dataclass(slots=True)
class Decision:
    """One record of `tailstream_decisions`: what was decided, and which spans it covers.

    A trace's first record is its verdict; later ones cover its late spans and repeat the verdict.
    `spans` counts what this record covers, so the sum over a partition accounts for every span:
    of these, `duplicates` were removed as seen before and `dead_lettered` could not be produced.
    `threshold` is the 56-bit rejection threshold of a probabilistic verdict, 0 of one for sure,
    `UNKNOWN_THRESHOLD` where nobody can tell.
    `complete` says whether a root span had been received. `time_ms` is partition time. `upto` is
    the cut offset: every record of the trace below it is done. `offsets` are the records it covers.
    `ballot` has every policy's vote (`policies/ballot.py`); a later record has none.
    `levels` are those of the policies' limits after a cut (`policies/limit.py`).
    `source` says who pinned the trace, where a pin is what kept it, or is all that is known of it:
    a `pending` record, which holds until the partition time `expires_ms` and covers no span.
    The spans of a promotion were covered before, as `not_sampled`: they count apart.
    """

    trace_id: bytes
    verdict: Verdict
    policy: str
    trigger: Trigger
    threshold: int
    spans: int
    errors: int
    duration_us: int
    complete: bool
    time_ms: int
    clock: Clock
    upto: int
    offsets: list[int]
    duplicates: int = 0
    dead_lettered: int = 0
    span_ids: bytes = b""
    span_ids_complete: bool = True
    ballot: str = ""
    levels: tuple[tuple[int, ...], ...] = ()
    source: str = ""
    expires_ms: int = 0


PureDecision = Decision
"""The one in Python, whichever core runs."""

if not TYPE_CHECKING and compiled.RUNS:
    from stream.sampling._delivery import Decision


def encode(decision: Decision, *, config: str, topic_id: str, group: str) -> bytes:
    """Return the msgpack map of a decision.

    `config` is the hash of the policies that took it, `group` whose it is: two groups may read one
    input, each with policies of its own.

    `offsets` holds delta varints, or, above 2 KB of them, [first, last] under `offset_range`.
    """
    if compiled.RUNS:
        packed = in_c.encode(decision, config, topic_id, group)
        if packed is not None:
            return packed
    return encode_in_python(decision, config=config, topic_id=topic_id, group=group)


def encode_in_python(decision: Decision, *, config: str, topic_id: str, group: str) -> bytes:
    """Return what `encode` returns, by the pure-Python twin."""
    offsets = decision.offsets
    # An offset takes a byte at least: those of a giant need not be written to be found too many.
    deltas = encode_offsets(offsets) if len(offsets) <= OFFSETS_BYTES_MAX else b""
    record: dict[str, Any] = {
        "v": RECORD_VERSION,
        "trace_id": decision.trace_id,
        "verdict": decision.verdict.value,
        "policy": decision.policy,
        "trigger": decision.trigger.value,
        "th": decision.threshold,
        "spans": decision.spans,
        "errors": decision.errors,
        "duration_us": decision.duration_us,
        "complete": decision.complete,
        "time_ms": decision.time_ms,
        "clock": decision.clock.value,
        "upto": decision.upto,
        "duplicates": decision.duplicates,
        "dead_lettered": decision.dead_lettered,
        "config": config,
        "topic_id": topic_id,
        "group": group,
    }
    if len(offsets) <= OFFSETS_BYTES_MAX and len(deltas) <= OFFSETS_BYTES_MAX:
        record["offsets"] = deltas
    else:
        record["offset_range"] = [offsets[0], offsets[-1]]
    if decision.span_ids:
        record["span_ids"] = decision.span_ids
    if not decision.span_ids_complete:
        record["span_ids_complete"] = False
    if decision.ballot:
        record["votes"] = decision.ballot
    if decision.levels:
        record["levels"] = decision.levels
    if decision.source:
        record["source"] = decision.source
    if decision.expires_ms:
        record["expires_ms"] = decision.expires_ms
    packed: bytes = msgpack.packb(record)
    return packed


def decode(value: bytes) -> tuple[Decision, str, str]:
    """Return a decision, the topic id of the input it speaks of, and the group that took it.

    Raises:
        ValueError: not a decision record of a version that this release reads.
    """
    try:
        record = fields_of(value)
        return _decision(record), record["topic_id"], record["group"]
    except Exception as problem:  # a foreign writer can make msgpack and us raise nearly anything
        raise ValueError(f"not a decision record: {problem!r}") from problem


def fields_of(value: bytes) -> dict[str, Any]:
    """Return a decision record as the map that it is.

    Raises:
        Exception: of any kind, where it is none of a version that this release reads.
    """
    record: dict[str, Any] = msgpack.unpackb(value)
    version = record["v"]
    if version != RECORD_VERSION:
        raise ValueError(f"decision record of version {version}, expected {RECORD_VERSION}")
    return record


def encode_offsets(offsets: list[int]) -> bytes:
    """Ascending offsets as deltas, each a LEB128 varint; the first is the delta from 0."""
    out = bytearray()
    last = 0
    for offset in offsets:
        delta = offset - last
        last = offset
        while delta > VARINT_BITS:
            out.append(delta & VARINT_BITS | VARINT_MORE)
            delta >>= 7
        out.append(delta)
    return bytes(out)


def decode_offsets(deltas: bytes) -> list[int]:
    """The inverse of `encode_offsets`."""
    offsets: list[int] = []
    last = delta = shift = 0
    for byte in deltas:
        delta |= (byte & VARINT_BITS) << shift
        if byte & VARINT_MORE:
            shift += 7
            continue
        last += delta
        offsets.append(last)
        delta = shift = 0
    return offsets


def _decision(record: dict[str, Any]) -> Decision:
    if "offset_range" in record:
        offsets = list(record["offset_range"])
    else:
        offsets = decode_offsets(record["offsets"])
    return Decision(
        trace_id=record["trace_id"],
        verdict=Verdict(record["verdict"]),
        policy=record["policy"],
        trigger=Trigger(record["trigger"]),
        threshold=_number(record["th"]),
        spans=_number(record["spans"]),
        errors=_number(record["errors"]),
        duration_us=_number(record["duration_us"]),
        complete=record["complete"],
        time_ms=_number(record["time_ms"]),
        clock=Clock(record["clock"]),
        upto=_number(record["upto"]),
        offsets=offsets,
        duplicates=_number(record["duplicates"]),
        dead_lettered=_number(record["dead_lettered"]),
        span_ids=record.get("span_ids", b""),
        span_ids_complete=record.get("span_ids_complete", True),
        ballot=record.get("votes", ""),
        levels=tuple(tuple(of_one) for of_one in record.get("levels", ())),
        source=record.get("source", ""),
        expires_ms=_number(record.get("expires_ms", 0)),
    )


def _number(value: Any) -> int:
    """Return a number as a worker writes it; `Decision` has room for one of 64 bits."""
    if type(value) is not int or not 0 <= value <= INT64_MAX:
        raise ValueError(f"no number of a decision: {value!r}")
    return value
