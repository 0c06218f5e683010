"""The decision record: what is written is what is read, in a bounded size."""

from contextlib import suppress
from itertools import accumulate

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sampling.decision import (
    OFFSETS_BYTES_MAX,
    Clock,
    Decision,
    Trigger,
    Verdict,
    decode,
    decode_offsets,
    encode,
    encode_offsets,
)
from stream.testing.decisions import a_decision

NUMBERS = st.integers(0, 2**63 - 1)


def ascending(deltas: list[int]) -> list[int]:
    return list(accumulate(deltas))


OFFSETS = st.lists(st.integers(1, 2**40), max_size=50).map(ascending)
LEVELS = st.lists(
    st.lists(st.integers(-(2**62), 2**62), min_size=2, max_size=5).map(tuple), max_size=3
).map(tuple)
DECISIONS = st.builds(
    Decision,
    trace_id=st.binary(min_size=16, max_size=16),
    verdict=st.sampled_from(Verdict),
    policy=st.text(max_size=30),
    trigger=st.sampled_from(Trigger),
    threshold=st.integers(0, 2**56),
    spans=NUMBERS,
    errors=NUMBERS,
    duration_us=NUMBERS,
    complete=st.booleans(),
    time_ms=NUMBERS,
    clock=st.sampled_from(Clock),
    upto=NUMBERS,
    offsets=OFFSETS,
    duplicates=NUMBERS,
    dead_lettered=NUMBERS,
    span_ids=st.binary(max_size=32),
    span_ids_complete=st.booleans(),
    ballot=st.text("snde-()S", max_size=40),
    levels=LEVELS,
)


@given(decision=DECISIONS, topic_id=st.text(max_size=40))
def test_a_decision_is_read_as_it_was_written(decision: Decision, topic_id: str) -> None:
    value = encode(decision, config="c0ffee", topic_id=topic_id, group="g")
    assert decode(value) == (decision, topic_id, "g")


@given(OFFSETS)
def test_offsets_are_read_as_they_were_written(offsets: list[int]) -> None:
    assert decode_offsets(encode_offsets(offsets)) == offsets


def test_offsets_take_a_byte_for_each_small_step() -> None:
    assert encode_offsets([300, 301, 428, 556]) == b"\xac\x02\x01\x7f\x80\x01"


@pytest.mark.parametrize("steps", [OFFSETS_BYTES_MAX, OFFSETS_BYTES_MAX + 1, 100_000])
def test_offsets_above_two_kilobytes_become_a_range_so_a_record_stays_small(steps: int) -> None:
    offsets = list(range(1, steps + 1))
    value = encode(a_decision(offsets=offsets), config="c", topic_id="t", group="g")
    fits = steps <= OFFSETS_BYTES_MAX
    assert ("offsets" in msgpack.unpackb(value)) is fits
    assert ("offset_range" in msgpack.unpackb(value)) is not fits
    assert len(value) < OFFSETS_BYTES_MAX + 500
    assert decode(value)[0].offsets == (offsets if fits else [1, steps])


def record_but(**changed: object) -> bytes:
    record = msgpack.unpackb(encode(a_decision(offsets=[1]), config="c", topic_id="t", group="g"))
    return bytes(msgpack.packb({k: v for k, v in {**record, **changed}.items() if v is not None}))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xc1",
        b"{}",
        msgpack.packb({}),
        msgpack.packb([1, 2]),
        msgpack.packb(None),
        record_but(v=2),
        record_but(verdict="maybe"),
        record_but(trigger="whim"),
        record_but(upto=None, verdict=None),
        record_but(offsets=None),
        record_but(topic_id=None),
        record_but(spans=2**63),
        record_but(time_ms=2**64 - 1),
        record_but(upto=-1),
        record_but(th=True),
        record_but(errors=1.5),
    ],
)
def test_what_is_not_a_decision_record_is_refused_by_one_kind_of_error(value: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(value)


def test_a_record_with_fields_of_a_later_release_is_read() -> None:
    assert decode(record_but(links=[1, 2]))[0] == a_decision(offsets=[1])


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_that_error(value: bytes) -> None:
    with suppress(ValueError):
        decode(value)
