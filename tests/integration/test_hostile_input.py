"""A worker fed by a hostile producer: it lives, and its other traces come out whole."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.harness import hostile
from tests.harness.large_topics import Given, send_all, topics_with_large_input
from tests.harness.load import Load, partition_of
from tests.harness.oracle import Rules, decode, placed_spans
from tests.harness.raw_produce import produce_raw
from tests.harness.reading import Stored
from tests.harness.sender import Sender
from tests.harness.topics import PARTITIONS, Topics, end_offsets
from tests.harness.verify import (
    Written,
    dead_letters_complete,
    decisions_complete,
    nothing_missing_and_nothing_twice,
    read_back,
    whole_and_unchanged,
)
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=1000, slow_ms=1000, percentage=5)
OUTPUT_BYTES_MAX = 1_000_000
MEGABYTE = 1_000_000
HOSTILE = b"hostile".hex().encode()


@dataclass(frozen=True, slots=True)
class Hostile:
    """A hostile record, and what must become of it.

    `sampled` spans come out under its trace id, `dead` spans lie in one dead letter of this
    `reason`; a `skipped` or `control` record holds no span.
    """

    name: str
    given: Given
    trace_id: bytes = b""
    sampled: int = 0
    dead: int = 0
    reason: str = ""
    decided: bool = False
    truncated: bool = False
    kind: str = ""

    @property
    def misrouted(self) -> bool:
        key = self.given.key
        if not key or len(key) > 1_024 or self.kind or not self.given.value:
            return False
        return partition_of(key) != self.given.partition

    @property
    def key_mismatch(self) -> bool:
        return bool(self.trace_id) and self.given.key != self.trace_id.hex().encode()


class Hostilities:
    """Makes hostile records, each of a trace of its own, over all partitions."""

    def __init__(self) -> None:
        self.records: list[Hostile] = []

    def add(
        self,
        name: str,
        value: bytes | None,
        *,
        key: bytes | None = b"hostile",
        headers: list[tuple[str, bytes | None]] | None = None,
        **expected: object,
    ) -> None:
        number = len(self.records)
        trace_id = b""
        if value and hostile.TRACE_ID in value and expected.get("reason", "") != "malformed":
            expected["decided"] = True
        if value and expected.get("decided"):
            trace_id = b"hostile" + number.to_bytes(9, "big")
            value = value.replace(hostile.TRACE_ID, trace_id)
            value = value.replace(hostile.TRACE_ID.hex().encode(), trace_id.hex().encode())
        given = Given(value, key, headers or [], number % PARTITIONS)
        self.records.append(Hostile(name, given, trace_id, **expected))  # type: ignore[arg-type]  # by name


def hostilities() -> list[Hostile]:
    made = Hostilities()
    for name, value in hostile.MALFORMED.items():
        made.add(name, value, dead=1, reason="malformed")
    for name, span in hostile.UNDECODABLE.items():
        good = hostile.span(span_id=b"\x01" * 8)
        value = hostile.record(good, span)
        made.add(name, value, sampled=1, dead=1, reason="malformed", decided=True)
    for name, span in hostile.LEGAL.items():
        made.add(name, hostile.record(span), sampled=1)
    _odd_envelopes(made)
    _large(made)
    return made.records


def _odd_envelopes(made: Hostilities) -> None:
    """Records odd by their keys, values and headers, not by their spans."""
    sound = hostile.record(hostile.span())
    made.add("nothing at all", None, key=None, dead=1, reason="empty")
    made.add("an empty value", b"", dead=1, reason="empty")
    made.add("no key", sound, key=None, sampled=1)
    made.add("an empty key", sound, key=b"", sampled=1)
    made.add("a key of a megabyte", sound, key=b"k" * MEGABYTE, sampled=1)
    made.add("one on garbage", b"\xff", key=b"k" * MEGABYTE, dead=1, reason="malformed")
    many: list[tuple[str, bytes | None]] = [(f"h{n}", b"x" * 90) for n in range(10_000)]
    made.add("10,000 headers", sound, headers=many, sampled=1)
    control = "tailstream.control"
    dead_control = {"reason": "malformed_control", "kind": "control"}
    for name, value, content in (("garbage in", b"", b"\xff"), ("no", b"{}", None)):
        key = name.encode()  # one of its own: the values are others', too
        made.add(f"{name} control", value, key=key, headers=[(control, content)], **dead_control)
    made.add("control on a span", sound, headers=[(control, b"\xff")], sampled=1)
    made.add("control on null", None, headers=[(control, b"")], dead=1, reason="empty")
    signal = "otelcol.signal"
    made.add("no signal", b"\xff", headers=[(signal, None)], kind="skipped")


def _large(made: Hostilities) -> None:
    """Records of 12 MB, where the output takes 1 MB."""
    hundred_kb = hostile.attribute(hostile.string(100_000))
    spans = [hostile.span(hundred_kb, span_id=n.to_bytes(8, "big")) for n in range(1, 121)]
    made.add("12 MB of spans", hostile.record(*spans), sampled=120)
    made.add("12 MB of noise", b"\xff" * 12 * MEGABYTE, dead=1, reason="malformed", truncated=True)
    large = hostile.span(hostile.attribute(hostile.string(12 * MEGABYTE)), span_id=b"\x02" * 8)
    value = hostile.record(hostile.span(), large)
    made.add("a span of 12 MB", value, sampled=1, dead=1, reason="span_too_large", truncated=True)
    envelope = hostile.field(1, b"\x0a\x01k" + hostile.field(2, hostile.string(999_000)))
    small = [hostile.span(span_id=n.to_bytes(8, "big")) for n in range(1, 2)]
    value = hostile.record(*small, resource=envelope)
    made.add("a huge resource", value, dead=1, reason="span_too_large", truncated=True)
    made.add(
        "6,000,000 empty spans",
        hostile.field(1, hostile.field(2, b"\x12\x00" * 6_000_000)),
        dead=1,
        reason="record_too_large",
        truncated=True,
    )


@pytest.fixture
def topics(kafka: str) -> Iterator[Topics]:
    with topics_with_large_input(kafka) as fresh:
        yield fresh


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[WorkerProcess]:
    started = WorkerProcess(topics, RULES, tmp_path, slot="w")
    started.start()
    yield started
    started.close()


def test_the_worker_survives_whatever_a_producer_sends_and_no_other_trace_is_harmed(
    topics: Topics, worker: WorkerProcess
) -> None:
    worker.wait_until_ready()
    records = hostilities()
    load = Load(spans=5_000, duration_s=3, late_after_s=1.4).records()
    sender = Sender(topics.bootstrap, topics.input, load)
    sender.start()
    send_all(topics, [one.given for one in records])
    sender.finish()
    wait_until_all_is_decided(topics, [worker])
    accounts, odd = worker.accounts(), worker.records()
    worker.terminate()

    written = read_back(topics)
    ours = of_the_load(written, {record.key for record in load})
    expectation = ours.expectation(RULES)
    nothing_missing_and_nothing_twice(ours, expectation)
    whole_and_unchanged(ours, expectation, RULES)
    decisions_complete(ours, expectation)
    dead_letters_complete(ours, expectation)

    came_out_as_expected(written, records)
    all_is_accounted_for(written, accounts, expectation.accounts, records)
    assert {kind: odd.get(kind, 0) for kind in ("skipped", "control")} == {
        kind: sum(one.kind == kind for one in records) for kind in ("skipped", "control")
    }
    assert odd["misrouted"] == sum(one.misrouted for one in records)


def test_headers_that_come_twice_or_have_no_name_in_utf_8_end_no_worker(
    topics: Topics, worker: WorkerProcess
) -> None:
    worker.wait_until_ready()
    sound = hostile.record(hostile.span())
    # The client's call that goes wrong is checked by a cold interpreter only: warm it.
    send_all(topics, [Given(sound, partition=0)] * 100)
    traces, logs = ("otelcol.signal", b"traces"), ("otelcol.signal", b"logs")
    send_all(topics, [Given(sound, b"k", [traces, also], 0) for also in (traces, logs)])
    send_all(topics, [Given(b"\xff", b"k", [], number) for number in range(1, PARTITIONS)])
    value = sound.replace(hostile.SPAN_ID, b"\x01" * 8)
    produce_raw(topics.bootstrap, topics.input, 0, value, [(b"\xff\xfe", b"x")])
    wait_until_all_is_decided(topics, [worker], timeout_s=20)
    accounts, odd = worker.accounts(), worker.records()
    worker.terminate()

    assert accounts["received"] == 102 + PARTITIONS - 1
    assert odd["skipped"] == 1
    assert accounts["sampled"] + accounts["late_sampled"] == 2


def test_a_topic_that_stores_uncompressed_refuses_what_is_small_by_compression_only(
    kafka: str,
) -> None:
    bomb = Given(bytes(150 * MEGABYTE), b"bomb")
    with topics_with_large_input(kafka, **{"compression.type": "uncompressed"}) as topics:
        with pytest.raises(AssertionError, match="Message size too large"):
            send_all(topics, [bomb], compression="zstd")
        assert end_offsets(kafka, topics.input) == dict.fromkeys(range(PARTITIONS), 0)


def of_the_load(written: Written, keys: set[bytes]) -> Written:
    """Return what is the load's; hostile records stay in the input's log, without their spans."""
    own = {(r.partition, r.offset) for r in written.input if r.key in keys}
    return Written(
        [r if r.key in keys else replace(r, value=b"", headers={}) for r in written.input],
        [r for r in written.output if not r.key.startswith(HOSTILE)],
        [(r, d) for r, d in written.decisions if not r.key.startswith(HOSTILE)],
        [r for r in written.dead_letters if _origin(r) in own],
    )


def came_out_as_expected(written: Written, records: list[Hostile]) -> None:
    """Each hostile record's spans are where they must be, with everything that says why."""
    out: Counter[bytes] = Counter()
    parts: Counter[bytes] = Counter()
    for record in written.output:
        assert len(record.value) <= OUTPUT_BYTES_MAX
        out.update(placed.span.trace_id for placed in placed_spans(decode(record.value)))
        parts[bytes.fromhex(record.key.decode())] += 1
    decided = {decision["trace_id"]: decision for _, decision in written.decisions}
    dead = {_origin(record): record for record in written.dead_letters}
    places = {(r.partition, r.value, r.key): r for r in written.input}
    for one in records:
        given = one.given
        stored = places[given.partition or 0, given.value or b"", given.key or b""]
        letter = dead.get((stored.partition, stored.offset))
        assert (letter.headers["tailstream.reason"].decode() if letter else "") == one.reason, one
        if letter:
            assert letter.headers["tailstream.topic"].endswith(b"_spans")
            truncated = b"true" if one.truncated else b"false"
            assert letter.headers["tailstream.truncated"] == truncated, one.name
            assert len(letter.key) <= 1_024
        if one.trace_id:
            assert out[one.trace_id] == one.sampled, one.name
            assert decided[one.trace_id]["verdict"] == "sampled"
            assert decided[one.trace_id]["dead_lettered"] == one.dead
    (large,) = [one for one in records if one.name == "12 MB of spans"]
    assert parts[large.trace_id] >= 12


def all_is_accounted_for(
    written: Written, accounts: dict[str, int], load: Counter[str], records: list[Hostile]
) -> None:
    """The worker's metrics and the decisions topic agree with what was sent, to the span."""
    expected = Counter(load)
    expected["sampled"] += sum(one.sampled for one in records)
    expected["dead_lettered"] += sum(one.dead for one in records)
    expected["received"] += sum(one.sampled + one.dead for one in records)
    assert accounts == {**dict.fromkeys(accounts, 0), **expected}
    undecided = load["dead_lettered"] + sum(one.dead for one in records if not one.trace_id)
    decided = sum(decision["spans"] for _, decision in written.decisions)
    assert decided + undecided == expected["received"]


def _origin(dead_letter: Stored) -> tuple[int, int]:
    headers = dead_letter.headers
    return int(headers["tailstream.partition"]), int(headers["tailstream.offset"])
