"""Why a trace was kept or dropped, in words, from its decision records."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from stream.otlp.tracestate import THRESHOLD_LIMIT, UNKNOWN_THRESHOLD
from stream.sampling.decision import (
    PROMOTIONS,
    Decision,
    Trigger,
    Verdict,
    Vote,
    decode,
    fields_of,
)
from stream.sampling.policies.ballot import Cast, read_ballot
from stream.settings.limit_policies import CompositePolicy
from stream.settings.model import Settings
from stream.settings.policies import DropPolicy, sub_policies
from stream.settings.policy_block import PolicyBlock
from stream.settings.units import format_duration

_VOTES: Final[dict[Vote | None, str]] = {
    Vote.SAMPLED: "voted to keep it",
    Vote.NOT_SAMPLED: "did not vote to keep it",
    Vote.DROPPED: "dropped it",
    Vote.ERROR: "failed, which is no vote",
    Vote.IGNORED_ERROR: "did not vote to keep it; a part of it failed and was ignored",
    None: "was not asked",
}
_SHORT_VOTES: Final[dict[Vote | None, str]] = {
    Vote.SAMPLED: "yes",
    Vote.NOT_SAMPLED: "no",
    Vote.DROPPED: "drop",
    Vote.ERROR: "failed",
    Vote.IGNORED_ERROR: "no, partly failed",
    None: "not asked",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision record as it was found. `config` is the hash of the policies that took it."""

    decision: Decision
    config: str
    group: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class NamedVote:
    """A policy's vote; without a name or a meaning where the settings do not tell."""

    name: str
    meaning: str
    cast: Cast
    below: tuple["NamedVote", ...]
    drops: bool = False
    shares: bool = False


def recorded(value: bytes, partition: int, offset: int) -> Recorded:
    """Return a decision record.

    Raises:
        ValueError: it is none of a version that this release reads.
    """
    decision, _, group = decode(value)
    return Recorded(decision, str(fields_of(value).get("config", "")), group, partition, offset)


def named_votes(record: Recorded, settings: Settings) -> tuple[NamedVote, ...]:
    """Return every policy's vote, by name where it was cast by the policies of these settings."""
    known: Sequence[PolicyBlock] = ()
    if record.config == settings.policies_hash():
        known = settings.tail_sampling.policies_in_order()
    try:
        return _named(read_ballot(record.decision.ballot), known)
    except (ValueError, RecursionError):
        return ()


def explained(record: Recorded, settings: Settings) -> Iterator[str]:
    """Yield the lines that say why this verdict, and on what it was taken."""
    decision = record.decision
    yield f"{_because(record, settings)}."
    if decision.verdict is Verdict.PENDING:
        place = f"at offset {decision.upto - 1:,} of the input"
        yield f"  read     {time_of(decision.time_ms)}, {place}"
        return
    known_policies = record.config == settings.policies_hash()
    if not known_policies:
        ours = settings.policies_hash()
        yield (
            f"  It was decided by other policies ({record.config}) than these settings have "
            f"({ours}): name theirs with --config to see names and meanings."
        )
    yield f"  decided  {time_of(decision.time_ms)}, {_trigger(decision, settings)}"
    root = "its root span seen" if decision.complete else "its root span not seen"
    yield (
        f"  saw      {_count(decision.spans, 'span')}, {decision.errors} with an error, "
        f"{decision.duration_us / 1000:,.1f} ms from first start to last end, {root}"
    )
    yield f"  where    partition {record.partition}, {_offsets(decision)}"
    if decision.verdict is Verdict.SAMPLED and decision.threshold:
        yield f"  counts   {_threshold(decision.threshold)}"
    if decision.duplicates or decision.dead_lettered:
        yield f"  not out  {decision.duplicates} duplicates, {decision.dead_lettered} dead letters"
    votes = named_votes(record, settings)
    if votes:
        yield "  votes, in the order they were cast:"
        width = max(len(vote.name) for vote in votes)
        for vote in votes:
            yield from _vote_lines(vote, width, "    ")


def in_one_line(records: Sequence[Recorded], settings: Settings) -> str:
    """Return why a trace was kept or dropped, from all its records in their order, at least one.

    What counts is its last verdict: late spans only follow it.
    """
    verdicts = [each for each in records if each.decision.trigger is not Trigger.LATE]
    record = (verdicts or records)[-1]
    decision = record.decision
    if decision.verdict is Verdict.PENDING:
        return _because(record, settings)
    when = f"decided {time_of(decision.time_ms)}, {_trigger(decision, settings)}"
    parts = [_because(record, settings), when]
    votes = named_votes(record, settings)
    if votes:
        told = [f"{vote.name} {_SHORT_VOTES[vote.cast.vote]}" for vote in votes]
        parts.append(f"votes: {', '.join(told)}")
    if decision.verdict is Verdict.SAMPLED and decision.threshold:
        parts.append(f"it stands {_threshold(decision.threshold)}")
    return "; ".join(parts)


def late_line(records: Sequence[Recorded]) -> str:
    """Return what came after the verdict."""
    spans = sum(record.decision.spans for record in records)
    duplicates = sum(record.decision.duplicates for record in records)
    kept = records[0].decision.verdict is Verdict.SAMPLED
    fate = "kept" if kept else "dropped"
    told = f" ({duplicates} had been delivered before)" if duplicates else ""
    return f"  late     {_count(spans, 'span')} after the verdict, {fate} as well{told}"


def as_json(record: Recorded, settings: Settings) -> dict[str, Any]:
    """Return a record for programs."""
    decision = record.decision
    return {
        "trace_id": decision.trace_id.hex(),
        "verdict": decision.verdict.value,
        "policy": decision.policy,
        "trigger": decision.trigger.value,
        "time_ms": decision.time_ms,
        "spans": decision.spans,
        "errors": decision.errors,
        "duration_ms": decision.duration_us / 1000,
        "complete": decision.complete,
        "threshold": decision.threshold,
        "config": record.config,
        "partition": record.partition,
        "offset": record.offset,
        "upto": decision.upto,
        "votes": [_vote_json(vote) for vote in named_votes(record, settings)],
        **({"source": decision.source} if decision.source else {}),
        **({"expires_ms": decision.expires_ms} if decision.expires_ms else {}),
    }


def time_of(time_ms: int) -> str:
    """Return a time, Unix milliseconds, for a reader."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"at {time_ms} ms"


def _named(
    votes: Sequence[Cast], policies: Sequence[PolicyBlock], prefix: str = ""
) -> tuple[NamedVote, ...]:
    matching = policies if len(policies) == len(votes) else ()
    found = []
    for index, vote in enumerate(votes):
        number = f"{prefix}{index + 1}"
        policy = matching[index] if matching else None
        below = [sub for _, sub in sub_policies(policy)] if policy else []
        found.append(
            NamedVote(
                (policy.name if policy else "") or f"policy {number}",
                policy.meaning() if policy else "",
                vote,
                _named(vote.below, below, f"{number}."),
                isinstance(policy, DropPolicy),
                isinstance(policy, CompositePolicy),
            )
        )
    return tuple(found)


def _because(record: Recorded, settings: Settings) -> str:
    decision = record.decision
    meaning = ""
    for vote in named_votes(record, settings):
        if vote.name == decision.policy and vote.meaning:
            meaning = f" ({vote.meaning})"
    if decision.source or decision.trigger in PROMOTIONS:
        return _second_chance(decision)
    if decision.verdict is Verdict.SAMPLED:
        return f"kept, because {decision.policy} voted to keep it{meaning}"
    if decision.policy:
        return f"dropped, because {decision.policy} drops it{meaning}"
    if decision.trigger is Trigger.TRACE_BYTES_LIMIT and not decision.ballot:
        return (
            "dropped, because it grew above tail_sampling.maximum_trace_size_bytes, where no "
            "policy is asked"
        )
    return "dropped, because no policy voted to keep it"


def _second_chance(decision: Decision) -> str:
    if decision.verdict is Verdict.PENDING:
        until = time_of(decision.expires_ms)
        return f"pinned by {decision.source}, which holds for spans that come before {until}"
    before = "dropped first, then kept" if decision.trigger in PROMOTIONS else "kept"
    if decision.source:
        return f"{before}, because {decision.source} pinned it"
    what = "slow span" if decision.policy == "late_slow" else "span with an error"
    return f"{before}, because a {what} came late"


def _trigger(decision: Decision, settings: Settings) -> str:
    wait = format_duration(settings.tail_sampling.decision_wait_s)
    words = {
        Trigger.DECISION_WAIT: f"as its window had passed (decision_wait: {wait} here)",
        Trigger.ROOT_RECEIVED: "decision_wait_after_root_received after its root span",
        Trigger.SPAN_INGEST: "as the fragment came that settled it (span-ingest)",
        Trigger.SPAN_LIMIT: "as it reached limits.trace_spans_max",
        Trigger.TRACE_BYTES_LIMIT: "as it reached a limit of its bytes",
        Trigger.OVERLOAD: "early, as the oldest, for there were more open traces than fit",
        Trigger.DISK_LIMIT: "early, as the oldest, for storage.disk was full",
        Trigger.PINNED: "as its window had passed",
        Trigger.LATE: "as spans came after the verdict",
        Trigger.PROMOTED: "when it was asked for after its verdict; read again from the input",
        Trigger.PROMOTED_PARTIAL: (
            "when it was asked for after its verdict; the input no longer held all of it"
        ),
    }
    return words.get(decision.trigger, decision.trigger.value)


def _offsets(decision: Decision) -> str:
    if not decision.offsets:
        return "no offsets recorded"
    first, last = decision.offsets[0], decision.offsets[-1]
    if first == last:
        return f"offset {first} of the input"
    return f"offsets {first} to {last} of the input"


def _threshold(threshold: int) -> str:
    if threshold == UNKNOWN_THRESHOLD:
        return "for an unknown number of traces: ot=th was erased"
    share = (THRESHOLD_LIMIT - threshold) / THRESHOLD_LIMIT
    return f"for {1 / share:,.1f} traces like it: {share:.4%} of them are kept"


def _vote_lines(vote: NamedVote, width: int, indent: str) -> Iterator[str]:
    words = _VOTES[vote.cast.vote]
    if vote.drops and vote.cast.vote is Vote.NOT_SAMPLED:
        words = "did not drop it"
    if vote.shares and vote.cast.vote is Vote.NOT_SAMPLED:
        full = any(below.cast.vote is Vote.SAMPLED for below in vote.below)
        words += ": the rate was used up for those who did" if full else ""
    if vote.cast.shadow:
        words = f"{words} (shadow: it decides nothing)"
    meaning = f"  [{vote.meaning}]" if vote.meaning else ""
    yield f"{indent}{vote.name:{width}}  {words}{meaning}"
    inner = max((len(below.name) for below in vote.below), default=0)
    for below in vote.below:
        yield from _vote_lines(below, inner, f"{indent}  ")


def _vote_json(vote: NamedVote) -> dict[str, Any]:
    told: dict[str, Any] = {
        "policy": vote.name,
        "vote": vote.cast.vote.value if vote.cast.vote else None,
    }
    if vote.cast.shadow:
        told["shadow"] = True
    if vote.below:
        told["votes"] = [_vote_json(below) for below in vote.below]
    return told


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
