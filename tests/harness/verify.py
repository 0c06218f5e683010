"""Holds what the workers wrote against what the oracle expects."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgpack
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.harness.oracle import (
    PIN,
    Expectation,
    Expected,
    Placed,
    Rules,
    SpanName,
    decode,
    expect,
    placed_spans,
)
from tests.harness.reading import Stored, read_whole
from tests.harness.topics import Topics

STAMPS = ("tailstream.policy", "tailstream.trigger")


BY_TIME = {"decision_wait", "pinned"}


def is_cut(decision: dict[str, Any]) -> bool:
    """Tell whether a decision record is of a cut: of no pin that waits, promotion or late span."""
    later = {"late", "promoted", "promoted_partial"}
    return decision["verdict"] != "pending" and decision["trigger"] not in later


@dataclass(frozen=True, slots=True)
class Written:
    """Everything a test's topics hold, read as a `read_committed` consumer reads."""

    input: list[Stored]
    output: list[Stored]
    decisions: list[tuple[Stored, dict[str, Any]]]
    dead_letters: list[Stored]

    def expectation(self, rules: Rules) -> Expectation:
        wall_cuts = {
            decision["trace_id"]: decision["upto"]
            for _, decision in self.decisions
            if is_cut(decision)
            # A limit's cut, too, is written down nowhere else; whether one was to be reached is
            # not the oracle's to say.
            and (decision["clock"] == "wall" or decision["trigger"] not in BY_TIME)
        }
        return expect(self.input, rules, wall_cuts)


def read_back(topics: Topics) -> Written:
    whole = {name: read_whole(topics.bootstrap, name) for name in topics.all()}
    return Written(
        whole[topics.input],
        whole[topics.output],
        [(record, msgpack.unpackb(record.value)) for record in whole[topics.decisions]],
        whole[topics.dead_letters],
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """Spans as (trace id, name): those that were to come out, and what is wrong with those
    that did."""

    wanted: set[tuple[bytes, SpanName]]
    missing: set[tuple[bytes, SpanName]]
    alien: set[tuple[bytes, SpanName]]
    twice: set[tuple[bytes, SpanName]]


def difference(written: Written, expectation: Expectation) -> Difference:
    """Hold the spans that came out against those of every kept trace."""
    came = Counter(
        (placed.span.trace_id, placed.name)
        for record in written.output
        for placed in placed_spans(decode(record.value))
    )
    wanted = {
        (trace_id, name)
        for trace_id, expected in expectation.kept.items()
        for name in (*expected.in_time, *expected.late)
    }
    twice = {one for one, times in came.items() if times > 1}
    return Difference(wanted, wanted - came.keys(), came.keys() - wanted, twice)


def nothing_missing_and_nothing_twice(written: Written, expectation: Expectation) -> None:
    """Every span of every kept trace came out once; no other span did."""
    found = difference(written, expectation)
    counts = (len(found.missing), len(found.alien), len(found.twice))
    assert counts == (0, 0, 0), "of {} spans {} missing, {} alien, {} twice: {}".format(
        len(found.wanted),
        *counts,
        [trace.hex() for trace, _ in [*found.missing, *found.alien, *found.twice][:3]],
    )


def whole_and_unchanged(written: Written, expectation: Expectation, rules: Rules) -> None:
    """One record a kept trace, under its id; each span's every field as it came but the stamps."""
    records_of: Counter[bytes] = Counter()
    for record in written.output:
        trace_id = bytes.fromhex(record.key.decode())
        expected = expectation.kept[trace_id]
        policy, trigger = (record.headers[name].decode() for name in STAMPS)
        assert record.headers["tailstream.delivery"]
        assert policy == expected.policy
        assert trigger in {expected.trigger, "late"}
        records_of[trace_id] += trigger != "late"
        inputs = expected.late if trigger == "late" else expected.in_time
        for placed in placed_spans(decode(record.value)):
            assert placed.span.trace_id == trace_id
            _same_but_for_the_stamps(placed, inputs[placed.name], trigger, expected, rules)
    assert records_of == Counter(dict.fromkeys(expectation.kept, 1))


def decisions_complete(written: Written, expectation: Expectation) -> None:
    """Each trace has one verdict, the right one; the records account for every span."""
    verdicts: Counter[bytes] = Counter()
    spans: Counter[int] = Counter()
    for record, decision in written.decisions:
        assert record.key == decision["trace_id"].hex().encode()
        if decision["verdict"] == "pending":
            continue
        expected = expectation.traces[decision["trace_id"]]
        assert record.partition == expected.partition
        policy = expected.policy_of(decision["upto"])
        assert decision["verdict"] == ("sampled" if policy else "not_sampled")
        assert decision["policy"] == policy
        if decision["trigger"] == "promoted":
            assert expected.promoted is not None
            assert decision["upto"] == expected.promoted + 1
            continue
        spans[record.partition] += decision["spans"]
        if decision["trigger"] == "late":
            continue
        verdicts[decision["trace_id"]] += 1
        assert decision["trigger"] == ("pinned" if policy == PIN else "decision_wait")
        assert decision["upto"] == expected.upto, "cut elsewhere than the log says"
        assert decision["complete"] == expected.complete
    assert verdicts == Counter(dict.fromkeys(expectation.traces, 1))
    accounts = expectation.accounts
    assert sum(spans.values()) == accounts["received"] - accounts["dead_lettered"]


def dead_letters_complete(written: Written, expectation: Expectation) -> None:
    """Each record that has something bad in it is named by a dead letter, with the reason."""
    named = {
        (int(record.headers["tailstream.partition"]), int(record.headers["tailstream.offset"]))
        for record in written.dead_letters
    }
    assert len(named) == len(written.dead_letters) == expectation.accounts["dead_lettered"]
    assert all(record.headers["tailstream.reason"] for record in written.dead_letters)


def _same_but_for_the_stamps(
    came: Placed, went_in: Placed, trigger: str, expected: Expected, rules: Rules
) -> None:
    assert (came.resource, came.scope) == (went_in.resource, went_in.scope)
    span = Span()
    span.CopyFrom(came.span)
    stamps = [one for one in span.attributes if one.key in STAMPS]
    assert [(one.key, one.value.string_value) for one in stamps] == [
        ("tailstream.policy", expected.policy),
        ("tailstream.trigger", trigger),
    ]
    for stamp in stamps:
        span.attributes.remove(stamp)
    assert expected.policy is not None
    threshold = rules.threshold(expected.policy)
    if threshold:
        ours, _, others = span.trace_state.partition(",")
        assert ours == f"ot=th:{threshold:014x}".rstrip("0")
        span.trace_state = others
    assert span.SerializeToString(deterministic=True) == went_in.span.SerializeToString(
        deterministic=True
    )
