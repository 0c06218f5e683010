"""`probabilistic` with `mode: trace_state`: consistent probability sampling."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.otlp.scan import scan
from stream.otlp.stamp import Stamp, stamp_span
from stream.otlp.tracestate import (
    THRESHOLD_LIMIT,
    THRESHOLD_MAX,
    UNKNOWN_THRESHOLD,
    erase_threshold,
    raise_threshold,
    randomness_of,
    sampling_of,
    with_threshold,
)
from stream.sampling.decision import Vote
from stream.sampling.matcher import Matcher
from stream.sampling.policies.consistent import ConsistentProbabilistic
from stream.sampling.policies.probabilistic import Probabilistic
from stream.testing.spans import a_span, span_id_of, traces_data

HALF = 1 << 55
RANDOMS = st.integers(0, THRESHOLD_MAX)
THRESHOLDS = st.integers(1, THRESHOLD_MAX)
SHARES = st.floats(0.0001, 100)


def kept(percentage: float, trace_id: bytes, *trace_states: str) -> bool:
    matcher = Matcher()
    policy = ConsistentProbabilistic("p", percentage, "", matcher)
    spans = [
        a_span(trace_id=trace_id, span_id=span_id_of(number + 1), trace_state=state)
        for number, state in enumerate(trace_states)
    ]
    (fragment,) = scan(traces_data(*spans), matcher.plan()).fragments
    return policy.vote(fragment) is Vote.SAMPLED


def id_of(random: int) -> bytes:
    return b"\x01" * 9 + random.to_bytes(7)


@given(random=RANDOMS, percentage=SHARES, threshold=st.integers(0, THRESHOLD_MAX))
def test_a_trace_that_tells_of_sampling_is_chosen_by_the_randomness_of_its_id(
    random: int, percentage: float, threshold: int
) -> None:
    head = f"ot=th:{threshold:014x}"
    rejected = THRESHOLD_LIMIT - Fraction(percentage / 100) * THRESHOLD_LIMIT
    if abs(random - rejected) > 1:  # the bound itself is rounded
        assert kept(percentage, id_of(random), "", head) is (random > rejected)


@given(random=RANDOMS, of_id=RANDOMS, percentage=SHARES)
def test_an_explicit_randomness_stands_for_the_ids(
    random: int, of_id: int, percentage: float
) -> None:
    explicit = kept(percentage, id_of(of_id), f"a=1,ot=rv:{random:014x}")
    assert explicit is kept(percentage, id_of(random), "ot=th:0")


@given(random=RANDOMS, shares=st.tuples(SHARES, SHARES))
def test_the_sharper_of_two_shares_lies_in_the_other(
    random: int, shares: tuple[float, float]
) -> None:
    sharp, blunt = sorted(shares)
    head = "ot=th:0"
    assert kept(blunt, id_of(random), head) or not kept(sharp, id_of(random), head)


@pytest.mark.parametrize(
    "state", ["", "a=1", "ot=x:1", "ot=th:G", "ot=rv:1", "OT=th:8", "ot=th:8,ot=th:8"]
)
def test_a_trace_that_tells_of_no_sampling_is_chosen_by_its_hash(state: str) -> None:
    for number in range(40):
        trace_id = id_of(number << 50)
        fragment = scan(traces_data(a_span(trace_id=trace_id)), Matcher().plan()).fragments[0]
        by_hash = Probabilistic("p", 40).vote(fragment) is Vote.SAMPLED
        assert kept(40, trace_id, state) is by_hash


def test_none_and_all_are_none_and_all() -> None:
    assert not kept(0, id_of(THRESHOLD_MAX), "ot=th:0")
    assert not kept(1e-30, id_of(THRESHOLD_MAX), "ot=rv:ffffffffffffff")
    assert kept(100, id_of(0), "ot=th:0")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("a=1", "a=1"),
        ("ot=th:8", ""),
        ("a=1,ot=th:8", "a=1"),
        ("a=1,ot=th:8;rv:00000000000001,b=2", "ot=rv:00000000000001,a=1,b=2"),
        ("ot=rv:00000000000001", "ot=rv:00000000000001"),
        ("ot=th:8;x:1", "ot=x:1"),
        ("ot=th:8,A=1", "ot=th:8,A=1"),
        ("ot=th:8,ot=th:8", "ot=th:8,ot=th:8"),
    ],
)
def test_an_unknown_probability_erases_the_threshold_and_nothing_else(
    before: str, after: str
) -> None:
    assert erase_threshold(before.encode()).decode() == after
    assert with_threshold(before.encode(), UNKNOWN_THRESHOLD).decode() == after
    span = a_span(trace_state=before).SerializeToString()
    stamp = Stamp("spans", "limited", "decision_wait", UNKNOWN_THRESHOLD)
    stamped = stamp_span(span, stamp, b"", root=True)
    assert Span.FromString(stamped).trace_state == after


@given(before=THRESHOLDS, threshold=THRESHOLDS, independent=st.booleans())
def test_a_threshold_only_rises(before: int, threshold: int, *, independent: bool) -> None:
    state = raise_threshold(b"a=1", before)
    after, randomness = sampling_of(with_threshold(state, threshold, independent=independent))
    assert randomness is None
    assert after is not None
    assert after >= max(before, threshold)
    if not independent:
        assert after == max(before, threshold)


@given(head=THRESHOLDS, tail=THRESHOLDS)
def test_independent_choices_multiply_so_that_a_span_stands_for_as_many_as_both_say(
    head: int, tail: int
) -> None:
    state = with_threshold(raise_threshold(b"", head), tail, independent=True)
    after, _ = sampling_of(state)
    assert after is not None
    product = Fraction(THRESHOLD_LIMIT - head, THRESHOLD_LIMIT) * (THRESHOLD_LIMIT - tail)
    left = Fraction(THRESHOLD_LIMIT - after)
    assert left == 1 if product < 1 else 0 <= product - left < 1


def test_a_half_of_a_half_is_a_quarter_and_a_half_of_an_unsampled_trace_a_half() -> None:
    assert with_threshold(b"ot=th:8", HALF, independent=True) == b"ot=th:c"
    assert with_threshold(b"ot=th:8", HALF) == b"ot=th:8"
    assert with_threshold(b"", HALF, independent=True) == b"ot=th:8"


@given(
    st.binary(max_size=60) | st.from_regex(rb"(ot=(th:[0-9a-f]{1,4};?|rv:[0-9]{14};?){0,3},?|a=1)+")
)
def test_what_is_erased_is_gone_and_erasing_twice_is_erasing_once(state: bytes) -> None:
    once = erase_threshold(state)
    assert sampling_of(once)[0] is None
    assert sampling_of(once)[1] == sampling_of(state)[1]
    assert erase_threshold(once) == once


@given(before=THRESHOLDS, threshold=THRESHOLDS, random=RANDOMS, of_id=RANDOMS, told=st.booleans())
def test_a_threshold_above_the_randomness_is_a_lie_and_is_erased(
    before: int, threshold: int, random: int, of_id: int, *, told: bool
) -> None:
    explicit = b";rv:%014x" % random if told else b""
    state = b"a=1,ot=th:%014x%b" % (before, explicit)
    after, randomness = sampling_of(with_threshold(state, threshold, randomness=of_id))
    assert randomness == (random if told else None)
    is_a_lie = (random if told else of_id) < before
    assert after == (None if is_a_lie else max(before, threshold))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ot=th:c", ""),  # the id's randomness is a half: no sampler of a quarter chose it
        ("ot=th:c;x:1,a=1", "ot=x:1,a=1"),
        ("ot=th:8", "ot=th:8"),  # the randomness reaches it, just so
        ("ot=th:4", "ot=th:8"),
        ("ot=th:c;rv:c0000000000000", "ot=th:c;rv:c0000000000000"),
        ("ot=th:4;rv:30000000000000", "ot=rv:30000000000000"),
        ("ot=rv:00000000000001", "ot=th:8;rv:00000000000001"),
        ("", "ot=th:8"),
    ],
)
def test_a_span_goes_out_without_a_threshold_that_its_randomness_does_not_reach(
    before: str, after: str
) -> None:
    span = a_span(trace_state=before).SerializeToString()
    stamp = Stamp("spans", "rest", "decision_wait", HALF, randomness=randomness_of(id_of(HALF)))
    assert Span.FromString(stamp_span(span, stamp, b"", root=True)).trace_state == after


def test_what_was_chosen_by_a_hash_claims_no_randomness_so_it_multiplies_all_the_same() -> None:
    lie = b"ot=th:c;rv:00000000000001"
    assert with_threshold(lie, HALF, independent=True, randomness=0) == (
        b"ot=th:e;rv:00000000000001"
    )
