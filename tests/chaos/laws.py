"""The laws, held against what the topics hold, one partition at a time (so memory stays bounded).

A trace whose records lie on both sides of a growth of the input is in two partitions. Each half is
a trace of its own there: decided by itself, none of its spans lost. Such traces are counted as
`astride`; that they are one trace with one verdict is the one thing not asked of them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgpack

from tests.harness.oracle import Expectation, Rules
from tests.harness.reading import Stored, read_whole
from tests.harness.topics import Topics
from tests.harness.verify import (
    Written,
    dead_letters_complete,
    decisions_complete,
    difference,
    is_cut,
    whole_and_unchanged,
)

LIMITS = {"span_limit", "trace_bytes_limit", "overload", "disk_limit"}


@dataclass(slots=True)
class Account:
    """What came of a run, in spans where nothing else is said. `broken`: laws, and how."""

    spans_in: int = 0
    records_in: int = 0
    traces: int = 0
    traces_kept: int = 0
    spans_kept: int = 0
    missing: int = 0
    alien: int = 0
    twice: int = 0
    verdicts_that_differ: int = 0
    verdicts_twice: int = 0
    unaccounted: int = 0
    dead_letters: int = 0
    dead_letters_repeated: int = 0
    cut_by_the_wall: int = 0
    astride: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    triggers: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def hold(topics: Topics, rules: Rules, partitions: int, *, hints_dropped: int) -> Account:
    """Read everything back as a `read_committed` consumer does, and compare."""
    account = Account()
    seen: Counter[bytes] = Counter()
    dead_letters = _by_partition(read_whole(topics.bootstrap, topics.dead_letters))
    for number in range(partitions):
        written = _read_partition(topics, number, dead_letters.get(number, []))
        seen.update(hold_partition(account, written, rules, number, hints_dropped))
    keep_within_limits(account)
    account.astride = sum(times > 1 for times in seen.values())
    return account


def keep_within_limits(account: Account) -> None:
    """A run is not to reach a limit: what one decides early depends on more than the log."""
    for limit in sorted(LIMITS & account.triggers.keys()):
        early = f"{account.triggers[limit]} decisions by {limit}"
        account.broken.append(f"{early}: give the workers more memory (fleet.py)")


def hold_partition(
    account: Account, written: Written, rules: Rules, number: int, hints_dropped: int
) -> Iterator[bytes]:
    repeated = _drop_repeated(written.dead_letters)
    account.dead_letters_repeated += repeated
    if repeated and not hints_dropped:
        account.broken.append(f"partition {number}: {repeated} dead letters twice")
    expectation = written.expectation(rules)
    _count(account, written, expectation)
    _compare(account, written, expectation, number)
    checks: dict[str, Callable[[], None]] = {
        "whole and unchanged": lambda: whole_and_unchanged(written, expectation, rules),
        "decisions complete": lambda: decisions_complete(written, expectation),
        "dead letters complete": lambda: dead_letters_complete(written, expectation),
    }
    for law, check in checks.items():
        try:
            check()
        except (AssertionError, KeyError) as broken:
            account.broken.append(f"partition {number}: not {law}: {broken!r}"[:500])
    return iter(expectation.traces)


def _count(account: Account, written: Written, expectation: Expectation) -> None:
    account.records_in += len(written.input)
    account.spans_in += expectation.accounts["received"]
    account.traces += len(expectation.traces)
    account.traces_kept += len(expectation.kept)
    account.dead_letters += expectation.accounts["dead_lettered"]
    for outcome, spans in expectation.accounts.items():
        if outcome != "received":
            account.outcomes[outcome] = account.outcomes.get(outcome, 0) + spans
    for trigger, count in Counter(one["trigger"] for _, one in written.decisions).items():
        account.triggers[trigger] = account.triggers.get(trigger, 0) + count
    account.cut_by_the_wall += sum(
        decision["clock"] == "wall" and is_cut(decision) for _, decision in written.decisions
    )


def _compare(account: Account, written: Written, expectation: Expectation, number: int) -> None:
    found = difference(written, expectation)
    account.spans_kept += len(found.wanted)
    account.missing += len(found.missing)
    account.alien += len(found.alien)
    account.twice += len(found.twice)
    for name in ("missing", "alien", "twice"):
        spans = getattr(found, name)
        if spans:
            shown = sorted({trace.hex() for trace, _ in spans})[:5]
            account.broken.append(f"partition {number}: {len(spans)} spans {name}, in {shown}")
    _compare_verdicts(account, written, expectation, number)


def _compare_verdicts(
    account: Account, written: Written, expectation: Expectation, number: int
) -> None:
    """One verdict a trace, the right one, at the right cut; every span of it in some decision."""
    verdicts: Counter[bytes] = Counter()
    spans: Counter[bytes] = Counter()
    differ: list[str] = []
    for _, decision in written.decisions:
        trace_id = decision["trace_id"]
        if decision["verdict"] == "pending":
            continue
        spans[trace_id] += 0 if decision["trigger"] == "promoted" else decision["spans"]
        verdicts[trace_id] += is_cut(decision)
        expected = expectation.traces.get(trace_id)
        if expected is None or decision["policy"] != expected.policy_of(decision["upto"]):
            differ.append(f"{trace_id.hex()}: {decision['policy'] or 'dropped'}, {expected}"[:300])
        elif is_cut(decision) and decision["upto"] != expected.upto:
            differ.append(f"{trace_id.hex()}: cut at {decision['upto']}, not {expected.upto}")
    twice = [trace_id.hex() for trace_id, times in verdicts.items() if times > 1]
    wanted = {trace_id: one.spans for trace_id, one in expectation.traces.items()}
    unaccounted = {
        trace_id.hex(): (spans[trace_id], wanted.get(trace_id, 0))
        for trace_id in spans.keys() | wanted.keys()
        if spans[trace_id] != wanted.get(trace_id, 0)
    }
    account.verdicts_that_differ += len(differ)
    account.verdicts_twice += len(twice)
    account.unaccounted += len(unaccounted)
    for what, found in (
        ("verdicts that differ", differ),
        ("traces with two verdicts", twice),
        ("traces whose spans (in decisions, in the input) disagree", list(unaccounted.items())),
    ):
        if found:
            account.broken.append(f"partition {number}: {len(found)} {what}: {found[:3]}")


def _read_partition(topics: Topics, number: int, dead_letters: list[Stored]) -> Written:
    whole = {
        name: read_whole(topics.bootstrap, name, only=[number])
        for name in (topics.input, topics.output, topics.decisions)
    }
    decisions: list[tuple[Stored, dict[str, Any]]] = [
        (record, msgpack.unpackb(record.value)) for record in whole[topics.decisions]
    ]
    return Written(whole[topics.input], whole[topics.output], decisions, dead_letters)


def _by_partition(dead_letters: list[Stored]) -> dict[int, list[Stored]]:
    found: dict[int, list[Stored]] = {}
    for record in dead_letters:
        found.setdefault(int(record.headers["tailstream.partition"]), []).append(record)
    return found


def _drop_repeated(dead_letters: list[Stored]) -> int:
    """Leave the first dead letter of each kind; a replay without hints may repeat them."""
    known: set[tuple[bytes, bytes, bytes]] = set()
    kept = []
    for record in dead_letters:
        headers = record.headers
        name = (headers["tailstream.offset"], headers["tailstream.reason"], record.value)
        if name not in known:
            known.add(name)
            kept.append(record)
    repeated = len(dead_letters) - len(kept)
    dead_letters[:] = kept
    return repeated
