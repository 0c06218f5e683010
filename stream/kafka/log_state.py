"""What the broker says of a partition's logs: values, no calls."""

from dataclasses import dataclass

NO_OFFSET = -1


@dataclass(frozen=True, slots=True)
class Identity:
    """Which log a number speaks of, and whose decisions count.

    An offset means nothing in another cluster or topic, an offset of the decisions nothing in a
    decisions topic that was made anew; another group has other policies.
    """

    cluster_id: str
    topic_id: str
    group: str = ""
    decisions_topic_id: str = ""


@dataclass(frozen=True, slots=True)
class LogState:
    """The committed offset and the ends. `committed` is `NO_OFFSET` without a committed offset.

    `start` and `end` bound the input's log, `decisions_start` and `decisions_end` the decisions';
    both ends include open transactions.
    """

    committed: int
    metadata: str | None
    start: int
    end: int
    decisions_start: int
    decisions_end: int
