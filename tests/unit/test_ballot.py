"""Ballots: every vote on a trace as a short text, and read again."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.otlp.fragment import Fragment
from stream.sampling.decision import Vote
from stream.sampling.policies.and_ import And
from stream.sampling.policies.ballot import LETTERS, Cast, cast, read_ballot
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.not_ import Not
from stream.sampling.policies.policy import Policy, TraceSummary

TRACE = Fragment(bytes(range(16)), 3, 0, 1, 2, root=True, bits=0, body=b"")
S, N, D, E = Vote.SAMPLED, Vote.NOT_SAMPLED, Vote.DROPPED, Vote.ERROR


@dataclass
class Says:
    """A policy that says what it is told to, and counts how often it is asked."""

    says: Vote
    name: str = ""
    threshold: int = 0
    asked: int = 0

    def vote(self, trace: TraceSummary) -> Vote:
        assert trace is TRACE
        self.asked += 1
        return self.says


LEAVES = st.sampled_from([vote for vote in Vote if vote is not D]).map(Says)
POLICIES: st.SearchStrategy[Policy] = st.recursive(
    LEAVES,
    lambda below: (
        st.lists(below, min_size=1, max_size=3).map(lambda subs: And("", subs))
        | below.map(lambda sub: Not("", sub))
    ),
    max_leaves=12,
)


def leaves_of(policy: Policy) -> list[Says]:
    if isinstance(policy, Says):
        return [policy]
    subs: Sequence[Policy]
    subs = [policy.sub_policy] if isinstance(policy, Not) else policy.sub_policies  # type: ignore[attr-defined]  # an And
    return [leaf for sub in subs for leaf in leaves_of(sub)]


def votes_below(one: Cast) -> list[Vote | None]:
    return [vote for sub in one.below for vote in votes_below(sub)] if one.below else [one.vote]


@given(POLICIES)
def test_a_ballot_has_the_vote_of_every_policy_asked_and_asks_each_once(policy: Policy) -> None:
    vote, text = cast(policy, TRACE)

    (read,) = read_ballot(text)
    assert (read.vote, read.shadow) == (vote, False)
    leaves = leaves_of(policy)
    assert all(leaf.asked <= 1 for leaf in leaves)
    told = [each for each in votes_below(read) if each is not None]
    assert told == [leaf.says for leaf in leaves if leaf.asked]


@given(POLICIES)
def test_the_vote_is_the_one_that_the_ballot_tells(policy: Policy) -> None:
    vote, text = cast(policy, TRACE)
    assert policy.vote(TRACE) is vote
    assert text[0] == LETTERS[vote]


def test_sub_policies_that_were_not_asked_are_told_apart_from_those_that_did_not_vote() -> None:
    assert cast(And("a", [Says(S), Says(N), Says(S)]), TRACE) == (N, "n(sn-)")
    assert cast(Drop("d", [Says(S), Not("", Says(N))]), TRACE) == (D, "d(ss(n))")
    assert cast(And("a", [Says(E), Says(S)]), TRACE) == (E, "e(e-)")


def test_a_shadow_is_a_capital_letter_with_all_that_is_below_it() -> None:
    (shadow,) = read_ballot("n(s-)".upper())
    assert shadow == Cast(N, True, (Cast(S, True, ()), Cast(None, False, ())))


@pytest.mark.parametrize(
    "text", ["(", ")", "(s)", "s(", "s)", "s(n", "s(n))", "x", "s(n)(n)", "s n"]
)
def test_what_is_no_ballot_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_ballot(text)


@given(st.text("snd-()SN", max_size=12))
def test_what_is_read_is_what_was_written(text: str) -> None:
    try:
        votes = read_ballot(text)
    except ValueError:
        return
    assert "".join(map(written, votes)).replace("()", "") == text.replace("()", "")


def written(one: Cast) -> str:
    letter = "-" if one.vote is None else LETTERS[one.vote]
    below = "".join(map(written, one.below))
    return (letter.upper() if one.shadow else letter) + (f"({below})" if below else "")
