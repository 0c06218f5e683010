"""What a hostile producer sends, through receive, fold and plan: counted, nobody else harmed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from random import Random

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.kafka.commit import Produce
from stream.kafka.partitioner import fnv1a
from stream.kafka.receive import HASHED_KEY_BYTES_MAX, Batch, Receiver
from stream.otlp.otlp_json import OBJECTS_MAX
from stream.otlp.scan import scan
from stream.otlp.wire import CHILDREN_MAX
from stream.sampling.limits import Windows
from stream.testing.core import Core, rules
from stream.testing.spans import (
    a_trace,
    resource_spans,
    span_id_of,
    spans_of,
    trace_id_of,
    traces_data,
)
from tests.harness import hostile

RULES = rules(sampling_percentage=50)
GOOD = 1_000_000  # trace numbers from here on are the well-formed ones
MUTATIONS = 100_000
LIMIT = 200_000


class Way:
    """The way of a record through one partition, a poll of 100 and a transaction at a time."""

    def __init__(self, limit: int = LIMIT) -> None:
        windows = Windows(decision_wait_ms=300, decision_retention_ms=3_000)
        core = Core(windows, rules=RULES, output_bytes_max=limit, dead_letter_bytes_max=limit)
        self.partition = core.partition()
        self.produced: list[Produce] = []
        self.scanned: Counter[str] = Counter()
        self._receiver = Receiver(RULES.plan, fnv1a, 1)
        self._offset = 0

    def send(self, values: Iterable[bytes | None]) -> None:
        waiting = iter(values)
        while poll := [self._message(value) for value in islice(waiting, 100)]:
            for batch in self._receiver.receive(poll, {0: 1}, []):
                self._fold(batch)
            self.commit()

    def _fold(self, batch: Batch) -> None:
        for record in batch.records:
            self.scanned["spans"] += sum(each.spans for each in record.fragments)
            self.scanned["spans"] += sum(each.spans for each in record.bad)
        self.partition.sampler.fold(batch.records)

    def commit(self) -> None:
        plan = self.partition.plan(count_max=20_000, bytes_max=1 << 25)
        self.produced += plan.records
        self.partition.committed(plan, decisions_end=None)

    def finish(self) -> None:
        self.partition.sampler.idle(wall_ms=1 << 50, position=self._offset)
        while self.partition.sampler.undelivered:
            self.commit()

    def _message(self, value: bytes | None) -> Message:
        self._offset += 1
        return Message(
            topic="input",
            partition=0,
            offset=self._offset - 1,
            key=b"k",
            value=value,
            headers=None,
            timestamp=(TIMESTAMP_LOG_APPEND_TIME, self._offset),
        )

    def of(self, topic: str) -> list[Produce]:
        return [record for record in self.produced if record.topic == topic]

    def reasons(self) -> Counter[str]:
        return Counter(_reason(record) for record in self.of("dead_letters"))

    def delivered(self) -> dict[bytes, list[Span]]:
        """Return what came out by trace id; whoever reads it can decode every record."""
        found: dict[bytes, list[Span]] = {}
        for record in self.of("output"):
            for span in spans_of(record.value):
                found.setdefault(span.trace_id, []).append(span)
        return found

    def assert_all_is_accounted_for(self) -> None:
        accounts = self.partition.sampler.accounts
        assert self.partition.sampler.open_spans == 0
        assert accounts.received == accounts.accounted == self.scanned["spans"]
        delivered = sum(map(len, self.delivered().values()))
        assert delivered == accounts.sampled + accounts.late_sampled


def _reason(record: Produce) -> str:
    return dict(record.headers)["tailstream.reason"].decode()


def sound(number: int, *, error: bool) -> list[bytes]:
    """Return a trace's records, small, of every kind of field that a mutation can hit."""
    spans = a_trace(number, spans=3, error=error, attributes={"http.route": "/cart", "n": 7})
    spans[1].events.add(name="retry", time_unix_nano=5)
    spans[2].links.add(trace_id=trace_id_of(3), span_id=span_id_of(4))
    spans[2].trace_state = "ot=th:8,a=1"
    return [traces_data(spans[:1]), traces_data(resource_spans(spans[1:], service="ledger"))]


def good_fragments(count: int) -> list[bytes]:
    """Return the records of kept traces, two each; a trace's come one after the other."""
    return [value for n in range(count) for value in sound(GOOD + n, error=True)]


def assert_good_traces_are_whole(way: Way, count: int) -> None:
    delivered = way.delivered()
    for n in range(count):
        went_in = [span for value in sound(GOOD + n, error=True) for span in spans_of(value)]
        came_out = delivered[trace_id_of(GOOD + n)]
        for span in came_out:
            assert [each.key for each in span.attributes[-2:]] == [
                "tailstream.policy",
                "tailstream.trigger",
            ]
            del span.attributes[-2:]
        assert came_out == went_in


def test_of_a_hundred_thousand_broken_records_each_is_processed_or_a_dead_letter() -> None:
    rng = Random(6)
    seeds = [value for n in range(40) for value in sound(n, error=n % 2 == 0)]
    seeds += [hostile.json_record(spans=2, depth=n) for n in range(4)]
    broken = iter(hostile.Mutations(rng, seeds))
    good = good_fragments(MUTATIONS // 200)
    way = Way()
    unlike_protobuf = 0
    for index, fragment in enumerate(good):
        values = list(islice(broken, 100))
        unlike_protobuf += sum(not same_spans_as_protobuf(value) for value in values)
        way.send([*values, fragment] if index % 2 else [fragment, *values])
    way.finish()

    way.assert_all_is_accounted_for()
    assert_good_traces_are_whole(way, len(good) // 2)
    assert unlike_protobuf == 0
    accounts = way.partition.sampler.accounts
    assert min(accounts.sampled, accounts.late_sampled, accounts.not_sampled) > 100
    assert way.reasons().keys() == {"malformed", "empty", "invalid_trace_id", "invalid_span_id"}
    assert min(way.reasons().values()) > 50


def same_spans_as_protobuf(value: bytes) -> bool:
    """Tell whether the scan finds as many spans as protobuf, where that can decode the record."""
    if value[:1] == b"{":
        return True
    try:
        spans = len(spans_of(value))
    except DecodeError:
        return True
    scanned = scan(value, RULES.plan)
    found = sum(each.spans for each in scanned.fragments) + sum(b.spans for b in scanned.bad)
    return found == (spans if value else 1)


def run(*values: bytes | None, limit: int = LIMIT) -> Way:
    """Send these between the two records of a good trace, and see that it is whole."""
    first, second = good_fragments(1)
    way = Way(limit)
    way.send([first, *values, second])
    way.finish()
    way.assert_all_is_accounted_for()
    assert_good_traces_are_whole(way, 1)
    return way


@pytest.mark.parametrize("value", hostile.MALFORMED.values(), ids=hostile.MALFORMED)
def test_what_cannot_be_decoded_is_a_dead_letter_as_it_came(value: bytes) -> None:
    way = run(value)
    (dead,) = way.of("dead_letters")
    assert (_reason(dead), dead.value) == ("malformed", value)


@pytest.mark.parametrize("value", [None, b"", b"{}", b" {}\n"[1:]], ids=repr)
def test_an_empty_record_is_a_dead_letter_of_its_own_reason(value: bytes | None) -> None:
    assert run(value).reasons() == {"empty": 1}


@pytest.mark.parametrize("span", hostile.UNDECODABLE.values(), ids=hostile.UNDECODABLE)
def test_a_span_that_no_decoder_takes_does_not_take_the_spans_beside_it_along(span: bytes) -> None:
    neighbours = [hostile.span(span_id=bytes([n] * 8)) for n in (1, 2)]
    way = run(hostile.record(neighbours[0], span, neighbours[1]), hostile.record(span))
    assert way.reasons() == {"malformed": 2}
    assert len(way.delivered()[hostile.TRACE_ID]) == 2
    assert all(span in record.value for record in way.of("dead_letters"))


def test_an_envelope_that_no_decoder_takes_takes_its_own_spans_along_only() -> None:
    bad = hostile.record(hostile.span(), resource=b"\x0a\x7f")
    other = hostile.record(hostile.span(span_id=b"\x01" * 8))
    way = run(bad + other)
    assert way.reasons() == {"malformed": 1}
    assert [span.span_id for span in way.delivered()[hostile.TRACE_ID]] == [b"\x01" * 8]


@pytest.mark.parametrize("span", hostile.LEGAL.values(), ids=hostile.LEGAL)
def test_what_is_odd_but_legal_is_processed(span: bytes) -> None:
    way = run(hostile.record(span))
    assert not way.reasons()
    decisions = way.of("decisions")
    assert len(decisions) == 2


@pytest.mark.parametrize("trace_id", hostile.INVALID_TRACE_IDS, ids=lambda id_: f"{len(id_)}")
def test_a_span_without_a_trace_is_a_dead_letter_and_its_neighbour_is_not(trace_id: bytes) -> None:
    way = run(hostile.record(hostile.span(), hostile.span(trace_id=trace_id)))
    assert way.reasons() == {"invalid_trace_id": 1}
    assert len(way.delivered()[hostile.TRACE_ID]) == 1


@pytest.mark.parametrize("span_id", hostile.INVALID_SPAN_IDS, ids=lambda id_: f"{len(id_)}")
def test_a_span_without_an_id_is_a_dead_letter_and_its_neighbour_is_not(span_id: bytes) -> None:
    way = run(hostile.record(hostile.span(), hostile.span(span_id=span_id)))
    assert way.reasons() == {"invalid_span_id": 1}
    assert len(way.delivered()[hostile.TRACE_ID]) == 1


def test_a_span_of_a_megabyte_is_a_dead_letter_cut_to_fit_and_its_trace_goes_out() -> None:
    large = hostile.span(hostile.attribute(hostile.string(1_000_000)), span_id=b"\x01" * 8)
    way = run(hostile.record(hostile.span(), large))
    (dead,) = way.of("dead_letters")
    assert _reason(dead) == "span_too_large"
    assert dict(dead.headers)["tailstream.truncated"] == b"true"
    assert len(dead.value) == LIMIT
    assert len(way.delivered()[hostile.TRACE_ID]) == 1


@pytest.mark.parametrize("beyond_the_limit", [False, True])
def test_small_spans_below_a_resource_that_fills_a_record_do_not_multiply_it(
    *, beyond_the_limit: bool
) -> None:
    spans = [hostile.span(span_id=span_id_of(n)) for n in range(1_000)]
    size = LIMIT + 100 if beyond_the_limit else LIMIT - 250
    resource = hostile.field(1, hostile.field(1, b"k") + hostile.field(2, hostile.string(size)))
    value = hostile.record(*spans, resource=resource)
    way = run(value)
    assert sum(len(record.value) for record in way.produced) < 6 * len(value) + 2 * 1024 * 1024
    assert bool(way.delivered().get(hostile.TRACE_ID)) is not beyond_the_limit
    assert way.reasons().keys() == {"span_too_large"}


def test_a_record_of_too_many_traces_below_one_huge_resource_is_a_dead_letter() -> None:
    spans = [hostile.span(trace_id=trace_id_of(n)) for n in range(1_000)]
    way = run(hostile.record(*spans, resource=hostile.field(9, b"x" * 100_000)))
    assert way.reasons() == {"record_too_large": 1}


@pytest.mark.parametrize(
    "value",
    [
        b"\x0a\x00" * (CHILDREN_MAX + 1),
        hostile.field(1, b"\x12\x00" * (CHILDREN_MAX + 1)),
        hostile.field(1, hostile.field(2, b"\x12\x00" * (CHILDREN_MAX + 1))),
        hostile.field(1, hostile.field(2, b"\x12\x00" * (CHILDREN_MAX // 2 + 1)) * 2),
        b'{"resourceSpans": [' + b"{}," * OBJECTS_MAX + b"{}]}",
    ],
    ids=["resources", "scopes", "spans", "spans of two scopes", "JSON objects"],
)
def test_a_record_of_a_million_empty_parts_is_a_dead_letter_before_it_fills_the_memory(
    value: bytes,
) -> None:
    assert run(value).reasons() == {"record_too_large": 1}


def test_a_record_may_have_as_many_spans_as_the_limit_says() -> None:
    spans = [hostile.span(span_id=span_id_of(n)) for n in range(CHILDREN_MAX)]
    scanned = scan(hostile.record(*spans), RULES.plan)
    assert [each.spans for each in scanned.fragments] == [CHILDREN_MAX]


@pytest.mark.parametrize("depth", [0, 20, *range(28, 36), *range(45, 53), 99, 100, 200])
def test_json_lists_in_lists_are_processed_or_malformed_at_any_depth(depth: int) -> None:
    way = run(hostile.json_record(spans=2, depth=depth))
    came_out = len(way.delivered().get(hostile.TRACE_ID, []))
    # Each list in a list is two messages deep, and protobuf's decoders stop at a hundred.
    if depth <= 20:
        assert (came_out, way.reasons()) == (2, {})
    elif depth >= 50:
        assert (came_out, way.reasons()) == (0, {"malformed": 1})
    else:
        assert came_out + way.reasons()["malformed"] == 2 or way.reasons() == {"malformed": 1}


class UnreadableHeaders:
    """As confluent-kafka answers where a header's name is not UTF-8; nobody can construct one."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def __getattr__(self, name: str) -> object:
        return getattr(self._message, name)

    def headers(self) -> None:
        raise SystemError("returned a result with an exception set")


def receive(message: object, partitions: int = 1) -> Batch:
    (batch,) = Receiver(RULES.plan, fnv1a, partitions).receive([message], {0: 1}, [])
    return batch


def a_message(key: bytes, headers: Sequence[tuple[str, bytes | None]] = ()) -> Message:
    return Message(
        topic="input",
        partition=0,
        offset=0,
        key=key,
        value=good_fragments(1)[0],
        headers=list(headers),
        timestamp=(TIMESTAMP_LOG_APPEND_TIME, 1),
    )


def test_a_header_whose_name_is_not_utf_8_costs_the_record_its_headers_only() -> None:
    batch = receive(UnreadableHeaders(a_message(b"k")))
    assert [fragment.spans for fragment in batch.records[0].fragments] == [1]


def test_ten_thousand_headers_are_passed_over() -> None:
    headers = [(f"h{n}", b"x" * 100) for n in range(10_000)]
    assert len(receive(a_message(b"k", headers)).records[0].fragments) == 1


def test_a_key_of_a_megabyte_is_a_mismatch_and_is_not_hashed() -> None:
    hashed: list[bytes] = []

    def partitioner(key: bytes, count: int) -> int:
        hashed.append(key)
        return fnv1a(key, count)

    receiver = Receiver(RULES.plan, partitioner, 8)
    keys = [b"k" * HASHED_KEY_BYTES_MAX, b"k" * 1_000_000]
    batches = [receiver.receive([a_message(key)], {0: 1}, [])[0] for key in keys]
    assert hashed == keys[:1]
    assert [batch.keys["key_mismatch"] for batch in batches] == [1, 1]


def test_what_a_split_record_holds_counts_for_the_back_pressure() -> None:
    resource = hostile.field(9, b"x" * 100_000)
    spans = [hostile.span(trace_id=trace_id_of(n)) for n in range(50)]
    message = Message(
        topic="input",
        partition=0,
        offset=0,
        key=b"k",
        value=hostile.record(*spans, resource=resource),
        headers=None,
        timestamp=(TIMESTAMP_LOG_APPEND_TIME, 1),
    )
    assert receive(message).size > 50 * 100_000
