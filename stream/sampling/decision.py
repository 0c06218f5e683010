"""Verdicts, triggers, and the decision record of `tailstream_decisions`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgpack

RECORD_VERSION = 1


class Verdict(StrEnum):
    """The fate of a trace."""

    SAMPLED = "sampled"
    NOT_SAMPLED = "not_sampled"


class Vote(StrEnum):
    """One policy's opinion of a trace. `DROPPED` beats every other."""

    SAMPLED = "sampled"
    NOT_SAMPLED = "not_sampled"
    DROPPED = "dropped"


class Trigger(StrEnum):
    """Why a decision was taken, or a delivery made, now."""

    DECISION_WAIT = "decision_wait"
    ROOT_RECEIVED = "root_received"
    SPAN_LIMIT = "span_limit"
    TRACE_BYTES_LIMIT = "trace_bytes_limit"
    OVERLOAD = "overload"
    LATE = "late"


class Clock(StrEnum):
    """What chose the cut: a record's timestamp, or the wall clock on an idle partition."""

    LOG = "log"
    WALL = "wall"
