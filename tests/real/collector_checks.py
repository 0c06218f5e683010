"""What must hold of a topic that a Collector filled, and of what a worker made of it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from tests.harness.oracle import Expectation, Rules, SpanName, decode, is_of_traces, placed_spans
from tests.harness.reading import Stored, read_whole
from tests.harness.topics import Topics
from tests.harness.verify import (
    decisions_complete,
    nothing_missing_and_nothing_twice,
    read_back,
    whole_and_unchanged,
)
from tests.real.collector_load import Request, spans_in
from tests.real.commands import called

RULES: Final = Rules(decision_wait_ms=2000, slow_ms=1000, percentage=5)


def all_is_as_sent(
    topics: Topics, requests: Sequence[Request], accounts: Mapping[str, int]
) -> Expectation:
    """Hold all that the topics have against what was sent and what the oracle makes of it."""
    written = read_back(topics)
    sent = spans_in(request.message for request in requests)
    assert spans_in(decode(one.value) for one in written.input if is_of_traces(one)) == sent
    expectation = written.expectation(RULES)
    nothing_missing_and_nothing_twice(written, expectation)
    whole_and_unchanged(written, expectation, RULES)
    decisions_complete(written, expectation)
    assert written.dead_letters == []
    assert expectation.accounts["received"] == sent.total()
    assert dict(accounts) == {**dict.fromkeys(accounts, 0), **expectation.accounts}
    assert {one.policy for one in expectation.traces.values()} == {"errors", "slow", "rest", None}
    return expectation


def every_record_holds_a_part_of_the_trace_that_is_its_key(records: Sequence[Stored]) -> None:
    """And all records with a key lie in one partition."""
    home: defaultdict[bytes, set[int]] = defaultdict(set)
    for record in records:
        trace_ids = {placed.span.trace_id for placed in placed_spans(decode(record.value))}
        assert {trace_id.hex().encode() for trace_id in trace_ids} == {record.key}
        home[record.key].add(record.partition)
    assert {len(partitions) for partitions in home.values()} == {1}
    assert len(home) > 500


def is_recognised(topics: Topics, partitioner: str) -> None:
    code, said = called(topics, "topics", more={"topics.partitioner": partitioner})
    assert code == 0, said
    assert "x trace id, 32 lowercase hex digits" in said
    assert f"partitioner  {partitioner}" in said
    assert said.splitlines()[-1] == "ok"


def summed_up(records: Sequence[Stored], expectation: Expectation) -> str:
    accounts = expectation.accounts
    return (
        f"{len(expectation.traces):,} traces, {accounts['received']:,} spans in {len(records):,} "
        f"records; {len(expectation.kept):,} traces kept, each whole and once; late "
        f"{accounts['late_sampled'] + accounts['late_not_sampled']}, duplicates "
        f"{accounts['duplicate']}, dead letters 0"
    )


def dropped_so_far(topics: Topics) -> list[str]:
    """Return the ids of traces that were dropped, in the order of their ids."""
    expectation = read_back(topics).expectation(RULES)
    return sorted(one.hex() for one, expected in expectation.traces.items() if not expected.policy)


def partitions_by_key(topics: Topics) -> dict[str, set[int]]:
    """Return where the input's records with a key lie, pins among them."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for record in read_whole(topics.bootstrap, topics.input):
        found[record.key.decode()].add(record.partition)
    return dict(found)


def came_out_whole(topics: Topics, trace_ids: Sequence[str]) -> Counter[str]:
    """Hold what came out of these traces against all that went in; return the triggers."""
    wanted = {bytes.fromhex(one) for one in trace_ids}
    went_in = spans_of(wanted, read_whole(topics.bootstrap, topics.input))
    output = [r for r in read_whole(topics.bootstrap, topics.output) if r.key.decode() in trace_ids]
    assert spans_of(wanted, output) == dict.fromkeys(went_in, 1)
    return Counter(record.headers["tailstream.trigger"].decode() for record in output)


def spans_of(trace_ids: set[bytes], records: Sequence[Stored]) -> Counter[tuple[bytes, SpanName]]:
    return Counter(
        (placed.span.trace_id, placed.name)
        for record in records
        for placed in placed_spans(decode(record.value))
        if placed.span.trace_id in trace_ids
    )
