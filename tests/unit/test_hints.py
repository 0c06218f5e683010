"""Hints are believed whole or not at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.log_state import Identity
from stream.worker.hints import HINTS_VERSION, TIME_MS_MAX, Hints, decode, encode

OURS = Identity("cluster-a", "topic-1", "group", "decisions-1")
OFFSETS = st.integers(0, 2**63 - 1)


@st.composite
def any_hints(draw: st.DrawFn) -> Hints:
    offset, position = sorted(draw(st.tuples(OFFSETS, OFFSETS)))
    first, replay, following = sorted(draw(st.tuples(OFFSETS, OFFSETS, OFFSETS)))
    return Hints(
        offset=offset,
        time_ms=draw(st.integers(0, TIME_MS_MAX)),
        position=position,
        decisions_next=following,
        decisions_from=first,
        replay_from=replay,
        dead_letters_upto=draw(OFFSETS),
    )


GIVEN = Hints(
    offset=50,
    time_ms=1_000,
    position=90,
    decisions_next=20,
    decisions_from=10,
    replay_from=15,
    dead_letters_upto=60,
)


@given(any_hints(), st.text(max_size=40), st.text(max_size=40))
def test_hints_are_read_as_they_were_written(hints: Hints, cluster_id: str, topic_id: str) -> None:
    identity = Identity(cluster_id, topic_id)
    assert decode(encode(hints, identity), offset=hints.offset, identity=identity) == hints


def test_hints_fit_far_below_the_limit_of_commit_metadata() -> None:
    largest = Hints(*[2**63 - 1] * 7)
    assert len(encode(largest, Identity("c" * 36, "t" * 36))) < 1_000


def changed(**fields: object) -> str:
    written = json.loads(encode(GIVEN, OURS))
    return json.dumps({k: v for k, v in {**written, **fields}.items() if v is not ...})


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param(None, id="dropped by a tool"),
        pytest.param("", id="empty"),
        pytest.param("not JSON", id="another client's"),
        pytest.param("[" * 4_000, id="deeply nested"),
        pytest.param("[1]", id="a list"),
        pytest.param("50", id="a number"),
        pytest.param(changed(v=HINTS_VERSION + 1), id="another version"),
        pytest.param(changed(v=...), id="no version"),
        pytest.param(changed(cluster_id="cluster-b"), id="another cluster"),
        pytest.param(changed(topic_id="topic-2"), id="another topic"),
        pytest.param(changed(group="another"), id="another group"),
        pytest.param(changed(decisions_topic_id="d-2"), id="a decisions topic made anew"),
        pytest.param(changed(offset=51), id="another offset"),
        pytest.param(changed(time_ms=...), id="not whole"),
        pytest.param(changed(time_ms=-1), id="negative"),
        pytest.param(changed(time_ms=TIME_MS_MAX + 1), id="a time that no clock shows"),
        pytest.param(changed(position=2**63), id="more than an offset can be"),
        pytest.param(changed(time_ms=True), id="a boolean"),
        pytest.param(changed(decisions_from="10"), id="a text"),
        pytest.param(changed(decisions_next=1.5), id="a fraction"),
        pytest.param(changed(replay_from=9), id="a replay that needs more than all"),
        pytest.param(changed(replay_from=21), id="a replay that needs what is not there"),
        pytest.param(changed(position=49), id="a position below the resume offset"),
    ],
)
def test_hints_that_disagree_in_anything_are_ignored_whole(metadata: str | None) -> None:
    assert decode(metadata, offset=50, identity=OURS) is None


def test_hints_that_agree_are_believed() -> None:
    assert decode(changed(), offset=50, identity=OURS) == GIVEN


def test_fields_of_a_later_release_do_not_make_hints_unreadable() -> None:
    assert decode(changed(limiter={"rest": 5}), offset=50, identity=OURS) == GIVEN


@given(st.text(max_size=100))
def test_no_metadata_raises(metadata: str) -> None:
    assert decode(metadata, offset=50, identity=OURS) is None
