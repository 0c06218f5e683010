"""Regular expressions: RE2's, so in linear time, with a bounded memory of results."""

import pytest

from stream.sampling.regex import (
    CACHED_VALUE_BYTES_MAX,
    CACHED_VALUES_MAX,
    AnyRegex,
    BadRegex,
)


@pytest.mark.parametrize(
    ("patterns", "text", "matches"),
    [
        (["b"], "abc", True),  # not anchored
        (["^b"], "abc", False),
        (["^abc$"], "abc", True),
        (["x", "c$"], "abc", True),
        (["x", "y"], "abc", False),
        ([""], "", True),
        (["^$"], "", True),
        (["^$"], "a", False),
        (["^.$"], "é", True),  # a character, not a byte
        (["(?i)ABC"], "abc", True),
        ([r"^\d{3}$"], "404", True),
        ([r"a\z"], "a", True),  # RE2's syntax, not Python's
    ],
)
def test_any_expression_that_matches_anywhere_is_enough(
    patterns: list[str], text: str, *, matches: bool
) -> None:
    regex = AnyRegex(patterns)
    assert regex(text.encode()) is matches
    assert regex(text.encode()) is matches  # and again, from the memory


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=a)", "(?<!a)b", "(?P=x)", "(?>a)"])
def test_the_engine_is_one_that_has_nothing_that_needs_backtracking(pattern: str) -> None:
    with pytest.raises(BadRegex, match="invalid"):
        AnyRegex([pattern])


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "missing"),
        ("a[", "missing"),
        ("*", "no argument"),
        ("(((a{100}){100}){100})", "repetition"),
        ("((((a{30}){30}){30}){30})", "repetition|too large"),
    ],
)
def test_what_is_no_expression_or_too_large_a_one_is_refused(
    pattern: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadRegex, match=said):
        AnyRegex(["a", pattern])
    assert capfd.readouterr().err == ""


def test_a_hostile_expression_answers_on_a_long_text() -> None:
    # A backtracking engine needs 2**100000 steps here.
    assert not AnyRegex(["(a+)+$", "(a|aa)+$", "(.*)*b$"])(b"a" * 100_000 + b"!")


def test_results_are_remembered_up_to_a_bound_and_long_texts_never() -> None:
    regex = AnyRegex(["7$"])
    for number in range(3 * CACHED_VALUES_MAX + 8):
        assert regex(b"%d" % number) is (number % 10 == 7)
        assert len(regex._results) <= CACHED_VALUES_MAX
    remembered = len(regex._results)
    assert remembered > 0
    assert regex(b"x" * CACHED_VALUE_BYTES_MAX + b"7")
    assert len(regex._results) == remembered
