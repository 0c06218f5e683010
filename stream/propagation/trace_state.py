"""W3C tracestate as it stood in the header, as the TraceState that opentelemetry-api carries.

Grammar and mutation: https://www.w3.org/TR/trace-context-2/#tracestate-header. The api's own class
knows the key grammar of level 1 only, empties itself on a duplicate key, and drops a list whose
33rd entry an update would add, so a foreign vendor's entries would be lost in passing through it.
"""

import re
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Sequence, ValuesView
from typing import Final

from opentelemetry.trace import TraceState

MEMBERS_MAX: Final = 32
TRUNCATE_FIRST_CHARS: Final = 128
"""Entries longer than this go first when a list is too long (W3C, tracestate limits)."""

_MEMBER: Final = re.compile(
    r"([a-z0-9][a-z0-9_\-*/@]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
_BLANKS: Final = " \t"

Member = tuple[str, str]


class W3CTraceState(TraceState):
    """An immutable tracestate whose header text is what was read, duplicate keys included.

    As a mapping it shows each key once, with its leftmost value: the one that was set last.
    """

    def __init__(self, entries: Sequence[Member] | None = None) -> None:
        """Keep the (key, value) pairs in their order; raise ValueError if W3C forbids the list."""
        super().__init__()
        self._members = tuple(entries or ())
        wrong = [f"{key}={value}" for key, value in self._members if not _is_member(key, value)]
        if wrong or len(self._members) > MEMBERS_MAX:
            raise ValueError(f"no tracestate: {len(self._members)} entries, {wrong[:1]}")
        self._first = dict(reversed(self._members))

    @classmethod
    def from_header(cls, header_list: Iterable[str]) -> "W3CTraceState":
        """Return the tracestate of these header values, joined in their order.

        Empty where one member breaks the grammar, or there are more than 32: half a list is no
        list. Empty members and blanks around members are allowed and not kept.
        """
        texts = [text.strip(_BLANKS) for text in ",".join(header_list).split(",")]
        texts = [text for text in texts if text]
        if len(texts) > MEMBERS_MAX:
            return cls()
        matches = [_MEMBER.fullmatch(text) for text in texts]
        members = [(match[1], match[2]) for match in matches if match]
        return cls(members if len(members) == len(matches) else ())

    def to_header(self) -> str:
        """Return the header's value: every member, in order."""
        return ",".join(f"{key}={value}" for key, value in self._members)

    def truncated(self, chars_max: int) -> "W3CTraceState":
        """Return as much as fits into `chars_max`, by whole members.

        Those over 128 characters go first, then all from the right. "First" and "from the end" is
        all that W3C says: among the long ones, too, it is the rightmost that goes.
        """
        members = list(self._members)
        long = [at for at, member in enumerate(members) if _chars(member) > TRUNCATE_FIRST_CHARS]
        while members and sum(map(_chars, members)) + len(members) - 1 > chars_max:
            del members[long.pop() if long else -1]
        return type(self)(members)

    def update(self, key: str, value: str) -> "W3CTraceState":
        """Return the list with this entry at its left, and nowhere else.

        Of 33 entries the rightmost goes. What W3C does not allow changes nothing, as in the api.
        """
        if not _is_member(key, value):
            return self
        others = [member for member in self._members if member[0] != key]
        return type(self)([(key, value), *others][:MEMBERS_MAX])

    def add(self, key: str, value: str) -> "W3CTraceState":
        """Return the list with a new entry at its left; the same list if it has the key already."""
        return self if key in self else self.update(key, value)

    def delete(self, key: str) -> "W3CTraceState":
        """Return the list without this key."""
        return type(self)([member for member in self._members if member[0] != key])

    def __contains__(self, key: object) -> bool:
        return key in self._first

    def __getitem__(self, key: str) -> str:
        return self._first[key]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._members))

    def __len__(self) -> int:
        return len(self._first)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self._members)!r})"

    def keys(self) -> KeysView[str]:
        """Return the keys, leftmost first."""
        return KeysView(self)

    def values(self) -> ValuesView[str]:
        """Return the values, in the order of the keys."""
        return ValuesView(self)

    def items(self) -> ItemsView[str, str]:
        """Return each key once, with its leftmost value."""
        return ItemsView(self)


def _is_member(key: object, value: object) -> bool:
    return _MEMBER.fullmatch(f"{key}={value}") is not None


def _chars(member: Member) -> int:
    key, value = member
    return len(key) + 1 + len(value)
