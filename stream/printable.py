"""Text from elsewhere, made fit for a terminal and for a line."""

import json


def printable(text: str) -> str:
    """Return the text with what a terminal would obey, or not show, as escapes of JSON.

    Names of policies and of spans are anybody's: an escape sequence in one must not be obeyed.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
