"""The probabilistic policy against what the Collector's arithmetic gives, computed in Go."""

from dataclasses import replace
from itertools import starmap
from pathlib import Path

import pytest

from stream.otlp.fragment import Fragment
from stream.sampling.decision import Vote
from stream.sampling.policies.probabilistic import (
    DEFAULT_SALT,
    Probabilistic,
    fnv1a64,
    hash_limit,
    rejection_threshold,
)

VECTORS = Path(__file__).parent / "vectors" / "otel_probabilistic_vectors.txt"
TRACE = Fragment(bytes(16), 1, 0, 1, 2, root=True, bits=0, body=b"")


def vectors(kind: str) -> list[list[str]]:
    lines = (line.split() for line in VECTORS.read_text().splitlines())
    return [fields for first, *fields in lines if first == kind]


def hashed(salt: str, trace_id: str) -> int:
    return fnv1a64(bytes.fromhex(trace_id), fnv1a64(salt.encode()))


def test_the_vectors_are_all_there() -> None:
    assert len(vectors("T")) + len(vectors("H")) == 8023


def test_hash_limits_and_thresholds_equal_the_collectors_for_every_vector() -> None:
    def differs(percentage: str, limit: str, threshold: str) -> str:
        found = hash_limit(float(percentage)), rejection_threshold(float(percentage))
        return "" if found == (int(limit), int(threshold)) else f"{percentage}: {found}"

    assert [problem for problem in starmap(differs, vectors("T")) if problem] == []


def test_hashes_equal_the_collectors_for_every_vector_with_both_salts() -> None:
    def differs(trace_id: str, default: str, salted: str) -> str:
        found = hashed(DEFAULT_SALT, trace_id), hashed("salt-2", trace_id)
        return "" if found == (int(default), int(salted)) else f"{trace_id}: {found}"

    assert [problem for problem in starmap(differs, vectors("H")) if problem] == []


@pytest.mark.parametrize(("percentage", "kept"), [(50, True), (10, False)])
def test_a_known_trace_is_kept_at_50_percent_but_not_at_10(
    percentage: float, *, kept: bool
) -> None:
    trace = replace(TRACE, trace_id=bytes.fromhex("0af7651916cd43dd8448eb211c80319c"))
    policy = Probabilistic("share", percentage)
    assert (policy.vote(trace) is Vote.SAMPLED) is kept


def test_a_trace_is_kept_where_its_hash_is_at_most_the_limit_for_every_vector() -> None:
    policy = Probabilistic("share", 37.5, hash_salt="salt-2")
    limit = hash_limit(37.5)
    for trace_id, _, salted in vectors("H"):
        vote = policy.vote(replace(TRACE, trace_id=bytes.fromhex(trace_id)))
        assert (vote is Vote.SAMPLED) is (int(salted) <= limit), trace_id


def test_a_hash_equal_to_the_limit_is_kept_and_one_above_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = Probabilistic("share", 5)
    own = hashed(DEFAULT_SALT, TRACE.trace_id.hex())
    monkeypatch.setattr(policy, "hash_max", own)
    assert policy.vote(TRACE) is Vote.SAMPLED
    monkeypatch.setattr(policy, "hash_max", own - 1)
    assert policy.vote(TRACE) is Vote.NOT_SAMPLED


def test_an_empty_salt_is_the_collectors_default_salt() -> None:
    empty, default = Probabilistic("share", 50), Probabilistic("share", 50, DEFAULT_SALT)
    traces = [replace(TRACE, trace_id=bytes.fromhex(fields[0])) for fields in vectors("H")]
    assert [empty.vote(trace) for trace in traces] == [default.vote(trace) for trace in traces]


@pytest.mark.parametrize(
    ("percentage", "threshold"),
    [
        (100, 0),
        (250, 0),
        (50, 2**55),
        (25, 3 * 2**54),
        (100 * 2**-56, 2**56 - 1),
        (99 * 2**-56, 0),  # fewer than one id of 2**56 has no threshold
        (150 * 2**-56, 2**56 - 2),  # 1.5 of 2**56: a half is rounded away from 0
        (0, 0),
        (-1, 0),
    ],
)
def test_the_threshold_is_the_number_of_rejected_ids_of_2_to_56(
    percentage: float, threshold: int
) -> None:
    assert rejection_threshold(percentage) == threshold
