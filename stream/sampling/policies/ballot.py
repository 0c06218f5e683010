"""Every policy's vote on one trace, sub-policies included, as the short text of a decision record.

A letter a policy, in the order they are asked; in parentheses after it those of its sub-policies:
`nn(s-)S` is three policies, of which the second asked one of its two and the last is a shadow.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from stream.sampling.decision import Vote
from stream.sampling.policies.policy import Policy, TraceSummary

LETTERS: Final[Mapping[Vote, str]] = MappingProxyType(
    {
        Vote.SAMPLED: "s",
        Vote.NOT_SAMPLED: "n",
        Vote.DROPPED: "d",
        Vote.ERROR: "e",
        Vote.IGNORED_ERROR: "i",
    }
)
"""A capital letter is a shadow's vote, which decided nothing."""

NOT_ASKED: Final = "-"
"""The letter of a policy whose vote was not needed any more."""

_VOTES: Final = {letter: vote for vote, letter in LETTERS.items()}


class Compound:
    """A policy made of others: it casts its vote and theirs at once."""

    __slots__ = ()

    def parts(self) -> Sequence[Policy]:
        """Return the sub-policies."""
        raise NotImplementedError

    def ballot(self, trace: TraceSummary) -> tuple[Vote, str]:
        """Judge a trace; return the vote, and those of the sub-policies as text."""
        raise NotImplementedError

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by what the sub-policies say of it."""
        return self.ballot(trace)[0]


def cast(policy: Policy, trace: TraceSummary) -> tuple[Vote, str]:
    """Ask a policy once; return its vote, and that with those below it as text."""
    if isinstance(policy, Compound):
        vote, below = policy.ballot(trace)
        return vote, f"{LETTERS[vote]}({below})"
    vote = policy.vote(trace)
    return vote, LETTERS[vote]


def all_sampled(policies: Sequence[Policy], trace: TraceSummary) -> tuple[Vote, str]:
    """Ask policies in order until one does not vote sampled; one that errs is an error.

    Return sampled where all are, else error or not sampled; and their votes as text.
    """
    text = ""
    for index, policy in enumerate(policies, start=1):
        vote, votes = cast(policy, trace)
        text += votes
        if vote is not Vote.SAMPLED:
            text += NOT_ASKED * (len(policies) - index)
            return (Vote.ERROR if vote is Vote.ERROR else Vote.NOT_SAMPLED), text
    return Vote.SAMPLED, text


@dataclass(frozen=True, slots=True)
class Cast:
    """A vote as it was recorded; None where the policy was not asked."""

    vote: Vote | None
    shadow: bool
    below: tuple["Cast", ...]


def read_ballot(text: str) -> tuple[Cast, ...]:
    """Return the votes in a ballot's text.

    Raises:
        ValueError: it is none.
    """
    letters = iter(text)
    votes, closed = _votes(letters)
    if closed:
        raise ValueError("a parenthesis too many")
    return votes


def _votes(letters: Iterator[str]) -> tuple[tuple[Cast, ...], bool]:
    found: list[Cast] = []
    for letter in letters:
        if letter == ")":
            return tuple(found), True
        if letter == "(":
            below, closed = _votes(letters)
            if not closed or not found or found[-1].below:
                raise ValueError("a parenthesis at a wrong place")
            found[-1] = Cast(found[-1].vote, found[-1].shadow, below)
        elif letter == NOT_ASKED:
            found.append(Cast(None, shadow=False, below=()))
        elif letter.lower() in _VOTES:
            found.append(Cast(_VOTES[letter.lower()], letter.isupper(), ()))
        else:
            raise ValueError(f"{letter!r} is no vote")
    return tuple(found), False
