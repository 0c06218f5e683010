"""The escapes of a text in double quotes: Go's (https://go.dev/ref/spec#String_literals)."""

import re
from typing import Final

_ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"
)
_SIMPLE: Final = dict(zip('abfnrtv\\"', b'\a\b\f\n\r\t\v\\"', strict=True))
_BYTE_MAX: Final = 0xFF
_RUNE_MAX: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


class BadEscape(ValueError):  # noqa: N818  # a part of an operator's mistake
    """What is wrong, and at which offset between the quotes."""

    def __init__(self, at: int, wrong: str) -> None:
        super().__init__(wrong)
        self.at, self.wrong = at, wrong


def unquote(quoted: str) -> bytes:
    r"""Return the bytes that are meant by what stands between the quotes, always UTF-8.

    `\xe9` is the character U+00E9, not a byte: so the Collector's lexer has it. Raises BadEscape.
    """
    meant = bytearray()
    position = 0
    while position < len(quoted):
        character = quoted[position]
        if character != "\\":
            meant += character.encode("utf-8", "surrogateescape")
            position += 1
            continue
        escape = _ESCAPE.match(quoted, position)
        if escape is None:
            raise BadEscape(position, f"no such escape: {quoted[position : position + 2]}")
        meant += _meant(escape)
        position = escape.end()
    return bytes(meant)


def _meant(escape: re.Match[str]) -> bytes:
    simple, hexadecimal, octal, short, long = escape.groups()
    if simple:
        return bytes((_SIMPLE[simple],))
    if octal:
        rune = int(octal, 8)
        if rune > _BYTE_MAX:
            raise BadEscape(escape.start(), f"more than a byte: {escape[0]}")
    else:
        rune = int(hexadecimal or short or long, 16)
    if rune > _RUNE_MAX or rune in _SURROGATES:
        raise BadEscape(escape.start(), f"no such character: {escape[0]}")
    return chr(rune).encode()
