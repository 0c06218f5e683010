"""What is wrong with a condition's text, and what goes wrong when it meets a span."""

from typing import Final

_SHOWN_CHARS_MAX: Final = 60


class BadCondition(ValueError):  # noqa: N818  # an operator's mistake, worded as the settings word them
    """The text is no condition that can be honoured.

    `at` is the offset of the place in the text, `wrong` what is wrong there, `remedy` what to do.
    """

    def __init__(self, text: str, at: int, wrong: str, remedy: str) -> None:
        at = min(at, len(text))
        self.at = at
        self.line = text.count("\n", 0, at) + 1
        self.column = at - (text.rfind("\n", 0, at) + 1) + 1
        self.wrong = wrong
        self.remedy = remedy
        self.shown = _pointed_at(text, at)
        super().__init__(f"{self.place}: {wrong}; {remedy}\n{self.shown}")

    @property
    def place(self) -> str:
        """The line and column, both from 1."""
        return f"line {self.line}, column {self.column}"


class Failed(Exception):  # noqa: N818  # a judgement of one span, not our error
    """The condition cannot be evaluated for this span, e.g. a text where it needs a number."""


class WrongType(Failed):
    """A value is of a type that its place does not take."""


def _pointed_at(text: str, at: int) -> str:
    """Return the line of the place, cut where it is long, and a caret below the place."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : end if end >= 0 else len(text)]
    # One for one, so that the caret stays below its place.
    line = "".join(c if c.isprintable() else " " for c in line)
    column = at - start
    cut = max(0, column - _SHOWN_CHARS_MAX // 2)
    shown = line[cut : cut + _SHOWN_CHARS_MAX]
    before = "..." if cut else ""
    after = "..." if cut + _SHOWN_CHARS_MAX < len(line) else ""
    caret = " " * (len(before) + column - cut) + "^"
    return f"  {before}{shown}{after}\n  {caret}"
