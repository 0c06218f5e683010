"""Regular expressions in linear time: RE2, as in the Collector, so no value can stall a partition.

Syntax: https://github.com/google/re2/wiki/Syntax. RE2 has no backreferences and no look-around; in
return its time is linear in the length of what it searches, whatever the expression.
"""

from collections.abc import Iterable
from typing import Final

import re2

CACHED_VALUES_MAX: Final = 1_024
"""How many values each condition remembers the result of."""

CACHED_VALUE_BYTES_MAX: Final = 256
"""Longer values are searched each time: a producer chooses them, so they must not fill memory."""


class BadRegex(ValueError):  # noqa: N818  # an operator's mistake, worded as the settings word them
    """RE2 does not take the expression; the text says why."""


class AnyRegex:
    """Tells whether any of some expressions matches somewhere in a text (not anchored).

    Raises:
        BadRegex: one of them is none.
    """

    __slots__ = ("_regexes", "_results")

    def __init__(self, patterns: Iterable[str]) -> None:
        self._regexes = [_compiled(pattern) for pattern in patterns]
        self._results: dict[bytes, bool] = {}

    def __call__(self, text: bytes) -> bool:
        """Return whether one of them matches in this UTF-8 text."""
        result = self._results.get(text)
        if result is None:
            result = any(regex.search(text) for regex in self._regexes)
            if len(text) <= CACHED_VALUE_BYTES_MAX:
                if len(self._results) >= CACHED_VALUES_MAX:
                    self._results.clear()
                self._results[text] = result
        return result


def _compiled(pattern: str) -> "re2._Regexp":
    options = re2.Options()
    options.log_errors = False  # they are raised, and RE2 would write to stderr
    options.never_capture = True
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        (said,) = error.args
        raise BadRegex(said.decode(errors="replace")) from None
