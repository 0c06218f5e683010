"""The compiled encoder of decisions and its pure-Python twin write the same bytes."""

from contextlib import suppress
from dataclasses import replace
from itertools import accumulate
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.sampling import _decision
from stream.sampling.decision import (
    OFFSETS_BYTES_MAX,
    Clock,
    Decision,
    Trigger,
    Verdict,
    encode,
    encode_in_python,
)
from stream.testing.decisions import a_drop
from tests.fuzz.odd_decisions import Encoders

CONTEXT = {"config": "0123456789abcdef", "topic_id": "AAAAAAAAAAAAAAAAAAAAAA", "group": "g"}
# Where msgpack and varints take a byte more.
EDGES = sorted({2**bits + more for bits in (0, 5, 7, 8, 14, 16, 31, 32, 62) for more in (-1, 0, 1)})
NUMBERS = st.sampled_from(EDGES) | st.integers(0, 2**63 - 1)
TEXTS = st.text(max_size=40) | st.sampled_from(["é" * 16, "x" * 31, "x" * 32, "x" * 256])
OFFSETS = st.lists(st.sampled_from(EDGES[:-3]), max_size=20).map(lambda all_: [*accumulate(all_)])
DECISIONS = st.builds(
    Decision,
    trace_id=st.binary(min_size=16, max_size=16),
    verdict=st.sampled_from(Verdict),
    policy=TEXTS,
    trigger=st.sampled_from(Trigger),
    threshold=NUMBERS,
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
    span_ids=st.sampled_from([b"", b"12345678", b"x" * 255, b"x" * 256]) | st.binary(max_size=40),
    span_ids_complete=st.booleans(),
    ballot=TEXTS,
)
A_DECISION = a_drop(upto=5_000_000_000, offsets=[4_999_999_000, 4_999_999_100])


def in_c(decision: Decision, **context: str) -> bytes | None:
    each = {**CONTEXT, **context}
    return _decision.encode(decision, each["config"], each["topic_id"], each["group"])


@settings(max_examples=400)
@given(decision=DECISIONS, config=TEXTS, topic_id=TEXTS, group=TEXTS)
def test_they_agree_on_any_decision(
    decision: Decision, config: str, topic_id: str, group: str
) -> None:
    context = {"config": config, "topic_id": topic_id, "group": group}
    written = in_c(decision, **context)
    assert written == encode_in_python(decision, **context)


def test_they_agree_on_decisions_of_every_size() -> None:
    encoders = Encoders()
    encoders.run(Random(20_261_122), 1_000)
    assert encoders.compiled > encoders.decisions // 2


@pytest.mark.parametrize("size", [32, 255, 256, 65_535, 65_536, 1_000_000])
def test_they_agree_on_texts_of_every_size(size: int) -> None:
    for field, value in {
        "policy": "x" * size,
        "ballot": "n" * size,
        "span_ids": b"x" * size,
    }.items():
        decision = replace(A_DECISION, **{field: value})  # type: ignore[arg-type]  # of its type
        assert in_c(decision) == encode_in_python(decision, **CONTEXT)
    context = dict.fromkeys(CONTEXT, "x" * size)
    assert in_c(A_DECISION, **context) == encode_in_python(A_DECISION, **context)


@pytest.mark.parametrize(
    "offsets",
    [
        [*range(OFFSETS_BYTES_MAX)],
        [*range(OFFSETS_BYTES_MAX + 1)],
        [*range(0, 128 * 1024, 128)],
        [*range(0, 128 * 1025, 128)],
        [2**63 - 1],
    ],
    ids=["all", "too many", "many of two bytes", "too many of two bytes", "the last there is"],
)
def test_they_agree_on_how_many_offsets_are_listed(offsets: list[int]) -> None:
    decision = replace(A_DECISION, offsets=offsets)
    assert encode(decision, **CONTEXT) == encode_in_python(decision, **CONTEXT)


@pytest.mark.parametrize(
    "odd",
    [
        {"duration_us": -1},
        {"upto": -1},
        {"complete": 1},
        {"trace_id": b"short"},
        {"trace_id": None},
        {"policy": None},
        {"policy": "\ud800"},
        {"ballot": None},
        {"ballot": b"n"},
        {"verdict": "v" * 200},
        {"offsets": [5, 4]},
        {"offsets": [-1]},
        {"offsets": (1, 2)},
        {"offsets": None},
        {"offsets": []},
        {"span_ids": None},
        {"span_ids_complete": None},
        {"levels": ((5, 6),)},
    ],
    ids=str,
)
def test_what_no_worker_writes_is_written_or_refused_as_ever(odd: dict[str, Any]) -> None:
    decision = replace(A_DECISION, **odd)
    expected: bytes | type[Exception] = Exception
    try:
        expected = encode_in_python(decision, **CONTEXT)
    except Exception as problem:  # noqa: BLE001  # whatever it is, it has to be the same
        with pytest.raises(type(problem)):
            encode(decision, **CONTEXT)
    else:
        assert encode(decision, **CONTEXT) == expected
    with suppress(UnicodeEncodeError):
        assert in_c(decision) in {None, expected}
