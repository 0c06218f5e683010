"""What is wrong with the settings, said so that the operator can mend it."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stream.printable import printable

ABSENT: Final = object()
"""The value of a problem that is about a setting which is not there."""

MASK: Final = "****"
_SECRET: Final = re.compile(
    r"password|passphrase|secret|token|credential|jaas|(^|\.)sasl\.(?!mechanisms?$)|key\.pem|private\.key|ssl_key"
    r"|(api|access)[._-]?key|bearer|(^|[._-])(pass|passwd|pwd|pw|auth)($|[._:-])"
    r"|authorization|(^|\.)(export|prometheus|scrape)\.headers?",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"[A-Za-z_]+://")
_VALUE_CHARS_MAX: Final = 120


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: the setting's path, its value as given, what is wrong, what to do.

    `place` is the path as it is told, where that is more than the path.
    """

    setting: str
    value: object
    wrong: str
    remedy: str
    place: str = ""

    def __str__(self) -> str:
        place = printable(_place(self))
        wrong = printable(self.wrong)
        if self.value is ABSENT:
            return f"{place}: {wrong}; {self.remedy}"
        return f"{place} = {shown(self.setting, self.value)}: {wrong}; {self.remedy}"


class SettingsError(Exception):
    """The operator's mistakes in the settings, one line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        assert self.problems, "an error without a problem says nothing"
        super().__init__("\n".join(str(problem) for problem in self.problems))


def is_secret(setting: str) -> bool:
    """Tell whether the value of this setting must not be shown."""
    return _SECRET.search(setting) is not None


def masked(setting: str, value: object) -> object:
    """Return the value with every secret in it replaced by `****`, to any depth."""
    if isinstance(value, Mapping):
        return {str(key): masked(f"{setting}.{key}", inner) for key, inner in value.items()}
    if is_secret(setting):
        return MASK
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [masked(setting, inner) for inner in value]
    if isinstance(value, str) and not setting.startswith("tail_sampling."):
        return without_login(value)
    return value


def without_login(text: str) -> str:
    """Return the text; of a URL no user, no password and no query, all of which may be secrets."""
    scheme = found[0] if (found := _SCHEME.match(text)) else ""
    head, at, tail = text.rpartition("@")
    if at and (scheme or ":" in head):
        text = f"{scheme}{MASK}@{tail}"
    address, mark, _ = text.partition("?")
    return f"{address}?{MASK}" if scheme and mark else text


def shown(setting: str, value: object) -> str:
    """Return the value on one line, as JSON, cut where it is long, secrets masked."""
    # A `kafka:` that is not a map may well be a connection string with a password in it.
    opaque = setting == "kafka" and not isinstance(value, Mapping)
    text = json.dumps(MASK if opaque else masked(setting, value), ensure_ascii=False, default=str)
    return cut(printable(text), _VALUE_CHARS_MAX)


def _place(problem: Problem) -> str:
    """Return where it is: `{sasl.password:hunter2}` is to YAML a name without a value."""
    place = problem.place or problem.setting
    if problem.value is not ABSENT and is_secret(place):
        name, colon, _ = place.partition(":")
        return f"{name}:{MASK}" if colon else name
    return without_login(place)


def cut(text: str, chars_max: int) -> str:
    """Return the text, its end replaced by `...` where it is longer."""
    return text if len(text) <= chars_max else text[: chars_max - 3] + "..."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like this one, None if none is."""
    matches = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
