"""The metadata committed beside offsets: hints, whose loss costs time and never data.

Beside the resume offset what spares a successor work; beside the position what tells others how old
the first record is that nobody has read, while nobody has the partition.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from stream.kafka.log_state import Identity

HINTS_VERSION = 2
INT64_MAX = 2**63 - 1
TIME_MS_MAX = 2**62
"""No clock shows more, and a deadline after it is still a number of 64 bits."""
TIMES_VERSION = 1
_JSON = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Hints:
    """What spares a successor work. `offset` repeats the resume offset that it was committed with.

    `time_ms`: partition time at the resume offset. `position`: how far the input had been read, so
    where a replay ends. `decisions_next`: the decisions partition held everything below this offset
    when it was committed; `decisions_from`: the first record there that a successor needs,
    `replay_from` the first one that its replay needs, not before. `dead_letters_upto`: dead letters
    below it have been delivered.
    """

    offset: int
    time_ms: int
    position: int
    decisions_next: int
    decisions_from: int
    replay_from: int
    dead_letters_upto: int


def encode(hints: Hints, identity: Identity) -> str:
    """Return the JSON to commit; far below the broker's limit of 4,095 bytes."""
    # Not by `asdict`, which copies deeply: one is made for every partition and transaction.
    named = [(name, getattr(of, name)) for of in (identity, hints) for name in of.__match_args__]
    fields = {"v": HINTS_VERSION, **dict(named)}
    return _JSON.encode(fields)


def decode(metadata: str | None, *, offset: int, identity: Identity) -> Hints | None:
    """Return the hints, or None unless version, cluster, topic and offset agree and all is whole.

    A tool that resets offsets drops the metadata, a mirror copies it beside a translated offset:
    both must be ignored whole.
    """
    try:
        fields = json.loads(metadata or "null")
    except (ValueError, RecursionError):  # as deeply nested as 4 KB can be
        return None
    if not isinstance(fields, dict):
        return None
    expected = {"v": HINTS_VERSION, "offset": offset, **asdict(identity)}
    if any(fields.get(name) != value for name, value in expected.items()):
        return None
    numbers: dict[str, Any] = {name: fields.get(name) for name in Hints.__dataclass_fields__}
    if not all(type(n) is int and 0 <= n <= INT64_MAX for n in numbers.values()):
        return None
    found = Hints(**numbers)
    if found.time_ms > TIME_MS_MAX:
        return None
    in_order = found.decisions_from <= found.replay_from <= found.decisions_next
    return found if in_order and found.offset <= found.position else None


@dataclass(frozen=True, slots=True)
class Times:
    """Partition times in ms: at the position, and at the resume offset."""

    position_ms: int
    resume_ms: int


def encode_times(position_ms: int, resume_ms: int) -> str:
    """Return the JSON to commit beside a position."""
    return f'{{"v":{TIMES_VERSION},"position_ms":{position_ms},"resume_ms":{resume_ms}}}'


def decode_times(metadata: str | None) -> Times | None:
    """Return the times, None where they are not ours or nothing is known of them."""
    try:
        fields = json.loads(metadata or "null")
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or fields.get("v") != TIMES_VERSION:
        return None
    times = [fields.get(name) for name in Times.__dataclass_fields__]
    known = [ms for ms in times if type(ms) is int and 0 < ms <= TIME_MS_MAX]
    return Times(*known) if len(known) == len(times) else None
