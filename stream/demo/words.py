"""Counts in words."""


def amount(count: int, word: str) -> str:
    """Return `1 span`, `2,204 spans`."""
    return f"{count:,} {noun(count, word)}"


def noun(count: int, word: str) -> str:
    """Return the word as it stands after the count: `span`, `spans`."""
    return word if count == 1 else f"{word}s"
