"""Any text is parsed or refused with its place; what is written from a tree is parsed to it."""

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sampling.ottl.compile import compile_condition
from stream.sampling.ottl.errors import BadCondition
from stream.sampling.ottl.parse import CHARS_MAX, DEPTH_MAX, parse
from stream.sampling.ottl.paths import Kind
from stream.sampling.ottl.syntax import (
    AllOf,
    AnyOf,
    Argument,
    Arithmetic,
    Call,
    Comparison,
    Enum,
    ListOf,
    Literal,
    MapOf,
    Node,
    Not,
    Path,
    Segment,
    Sign,
)
from stream.sampling.ottl.values import OPERATORS, Octets

KEYWORDS: Final = {"and", "or", "not", "nil", "true", "false"}
LOWER: Final = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True).filter(
    lambda name: name not in KEYWORDS
)
CAPITAL: Final = st.from_regex(r"[A-Z][A-Za-z0-9_]{0,6}", fullmatch=True)
TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(str.encode)

LITERALS: Final = st.builds(
    Literal,
    TEXT
    | st.booleans()
    | st.none()
    | st.integers(0, 2**63 - 1)
    | st.floats(0, allow_nan=False, allow_infinity=False)
    | st.binary(min_size=1, max_size=4).map(Octets),
)


def compound(values: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    keys = st.lists(values, max_size=2).map(tuple)
    segments = st.lists(st.builds(Segment, LOWER, keys), min_size=1, max_size=3).map(tuple)
    arguments = st.lists(st.builds(Argument, st.just("") | LOWER, values), max_size=3).map(tuple)
    products = st.lists(st.tuples(st.sampled_from("*/"), values), min_size=1, max_size=2)
    sums = st.lists(st.tuples(st.sampled_from("+-"), values), min_size=1, max_size=2)
    several = st.lists(values, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Path, segments),
        st.builds(Call, CAPITAL, arguments, keys),
        st.builds(ListOf, st.lists(values, max_size=3).map(tuple)),
        st.builds(MapOf, st.lists(st.tuples(TEXT, values), max_size=2).map(tuple)),
        st.builds(Sign, st.sampled_from("+-"), values),
        st.builds(Arithmetic, values, products.map(tuple) | sums.map(tuple)),
        st.builds(Comparison, st.sampled_from(OPERATORS), values, values),
        st.builds(Not, values),
        st.builds(AllOf, several),
        st.builds(AnyOf, several),
    )


TREES: Final[st.SearchStrategy[Any]] = st.recursive(
    LITERALS | st.builds(Enum, CAPITAL), compound, max_leaves=12
)


def written(node: Any) -> str:  # noqa: C901, PLR0911 - one a kind of node
    """The text of a tree; whatever has parts stands in parentheses where it is one."""
    match node:
        case Literal():
            return literal(node.value)
        case Enum():
            return node.name
        case Path():
            return ".".join(f"{each.name}{indexed(each.keys)}" for each in node.segments)
        case Call():
            arguments = (
                f"{each.name}={written(each.value)}" if each.name else written(each.value)
                for each in node.arguments
            )
            return f"{node.name}({', '.join(arguments)}){indexed(node.keys)}"
        case ListOf():
            return f"[{', '.join(map(written, node.values))}]"
        case MapOf():
            return f"{{{', '.join(f'{literal(k)}: {written(v)}' for k, v in node.entries)}}}"
        case Sign():
            return f"{node.operator}{part(node.value)}"
        case Arithmetic():
            rest = (f" {operator} {part(value)}" for operator, value in node.rest)
            return f"{part(node.first)}{''.join(rest)}"
        case Comparison():
            return f"{part(node.left)} {node.operator} {part(node.right)}"
        case Not():
            return f"not {part(node.condition)}"
        case AllOf():
            return " and ".join(map(part, node.conditions))
        case _:
            return " or ".join(map(part, node.conditions))


def part(node: Node) -> str:
    plain = isinstance(node, Literal | Enum | Path | Call | ListOf | MapOf)
    return written(node) if plain else f"({written(node)})"


def indexed(keys: tuple[Node, ...]) -> str:
    return "".join(f"[{written(key)}]" for key in keys)


def literal(value: Any) -> str:
    if isinstance(value, Octets):
        return f"0x{value.hex()}"
    if isinstance(value, bytes):
        escaped = (f"\\U{ord(c):08x}" if ord(c) < 32 or c in '"\\' else c for c in value.decode())
        return f'"{"".join(escaped)}"'
    if isinstance(value, float):
        return f"{value:.340f}" if "e" in repr(value) else repr(value)
    return "nil" if value is None else json.dumps(value)


@given(TREES)
def test_what_is_written_from_a_tree_is_parsed_to_it(tree: Node) -> None:
    assert parse(written(tree)) == tree


PIECES: Final = st.sampled_from(
    [
        *("span", ".", "name", "attributes", '["a"]', "[0]", "resource", "kind", "x"),
        *("==", "!=", "<", "=", "=>", "+", "-", "*", "/", "(", ")", "[", "]", "{", "}", ",", ":"),
        *(
            " and ",
            " or ",
            " not ",
            " nil ",
            "true",
            '"a"',
            '"',
            "'",
            "\\",
            "0x0",
            "0xff",
            "1",
            ".5",
        ),
        *("IsMatch(", "Len(", "Concat(", "Int(", "SPAN_KIND_SERVER", "\n", "é", "\x00", "&&"),
    ]
)


@given(st.text(max_size=30) | st.lists(PIECES, max_size=14).map("".join))
def test_any_text_is_a_condition_or_refused_with_its_place(text: str) -> None:
    kinds: tuple[Kind, ...] = ("span", "spanevent")
    for bad in filter(None, (refusal(text, kind) for kind in kinds)):
        lines = text.split("\n")
        assert 1 <= bad.line <= len(lines)
        assert 1 <= bad.column <= len(lines[bad.line - 1]) + 1
        assert bad.wrong
        assert bad.remedy


def refusal(text: str, kind: Kind) -> BadCondition | None:
    try:
        compile_condition(text, kind)
    except BadCondition as bad:
        return bad
    return None


@pytest.mark.parametrize(
    ("text", "column", "wrong", "remedy"),
    [
        ("", 1, "empty", "write a condition"),
        ('span.name = "a"', 11, "`=` cannot stand here", "compared with =="),
        ("span.name == 'a'", 14, "`'` cannot stand here", "double quotes"),
        ('span.name == "a', 14, '`"` cannot stand here', "no closing quote"),
        ('span.name == "a" && true', 18, "`&` cannot stand here", "`and`"),
        ('span.name == "a" and', 21, "ends too early", "expected a value"),
        ('(span.name == "a"', 18, "ends too early", "expected )"),
        ('isMatch(span.name, "a")', 1, "`isMatch` cannot stand here", "capital letter"),
        ("not not true", 5, "`not` cannot stand here", "once"),
        ("Any([1], (x) => x)", 14, "`=` cannot stand here", "functions as arguments"),
        ("span.kind == 0x123", 14, "half a byte", "two digits"),
        (r'span.name == "a\qb"', 16, r"no such escape: \q", r"\\ for a backslash"),
        ("span.kind == 9223372036854775808", 14, "beyond 64 bits", "9223372036854775807"),
        ("span.kind == 1.0e400", 14, "beyond a double", "below"),
        ("span.kind", 1, "a value alone is no condition", "== true"),
        ("Len(span.name)", 1, "a value alone is no condition", "compare what Len returns"),
        ("(span.kind == 1) == true", 12, "a condition cannot stand", "remove it"),
        ('span.name + "a" == "b"', 13, "arithmetic takes numbers", "write a number"),
        ("span.nmae == 1", 1, "no such path: span.nmae", "did you mean span.name?"),
        ("1 == span.x.y.z", 6, "no such path: span.x.y.z", "supported are span.trace_id, "),
        ('span.name["a"] == 1', 1, "span.name cannot be indexed", "brackets"),
        ("span.attributes[0] == 1", 17, "indexed by a text", '["the key"]'),
        ('span.trace_state["a"]["b"] == ""', 18, "indexed by one text", '["the key"]'),
        ("span.kind == SPAN_KIND_SRVER", 14, "no such name", "did you mean SPAN_KIND_SERVER?"),
        ("Ismatch(span.name)", 1, "no such function: Ismatch", "did you mean IsMatch?"),
        ("Now() > span.start_time", 1, "not of the clock", "supported are Bool, "),
        ('Time("2023", "%Y") == nil', 1, "Time: not supported here", "supported are Bool, "),
        ("IsMatch(span.name)", 1, "wrong arguments", "IsMatch(target, pattern)"),
        ('IsMatch(target=span.name, "a")', 1, "wrong arguments", "IsMatch(target, pattern)"),
        ('IsMatch(span.name, nope="a")', 1, "wrong arguments", "IsMatch(target, pattern)"),
        ('IsMatch(span.name, "(")', 1, "no RE2 expression", "mend it"),
        ("IsMatch(span.name, 1)", 20, "expected a text, got an int", "mend it"),
        ('Concat(span.name, "")== ""', 8, "vals must be a list", "[a, b]"),
        ('ConvertCase(span.name, span.name) == ""', 24, "must be written here", "write a text"),
        ('ConvertCase(span.name, "odd") == ""', 1, "supported are lower, upper", "mend it"),
        ('Double("x") == 1.0', 1, "fails for every span: no number", "mend or remove it"),
        ("true and Int(1) / 0 == 1", 10, "fails for every span: a division", "mend or remove it"),
        ("a" * (CHARS_MAX + 1), CHARS_MAX + 1, "more than 16384 characters", "several conditions"),
    ],
)
def test_what_is_refused_is_told_with_place_and_remedy(
    text: str, column: int, wrong: str, remedy: str
) -> None:
    with pytest.raises(BadCondition) as refused:
        compile_condition(text, "span")
    assert (refused.value.line, refused.value.column) == (1, column)
    assert wrong in refused.value.wrong
    assert remedy in refused.value.remedy


def test_a_caret_stands_below_the_place() -> None:
    with pytest.raises(BadCondition) as refused:
        parse(f'true and\n  {"x" * 40} = "{"y" * 40}"')
    line, caret = refused.value.shown.splitlines()
    assert refused.value.place == "line 2, column 44"
    assert line[caret.index("^")] == "="
    assert line.startswith("  ...x")
    assert line.endswith("y...")


def test_brackets_nest_so_deep_and_no_deeper() -> None:
    assert parse("(" * DEPTH_MAX + "true" + ")" * DEPTH_MAX) == Literal(True)
    with pytest.raises(BadCondition, match="brackets nest deeper"):
        parse("(" * (DEPTH_MAX + 1) + "true" + ")" * (DEPTH_MAX + 1))
    assert parse(f'span.name == "{"(" * 100}"')


def test_long_chains_need_no_stack() -> None:
    evaluate = compile_condition(" or ".join(['span.name == "a"'] * 700), "span")
    assert callable(evaluate)


def test_a_list_may_not_be_cut_short() -> None:
    for text in ("[1,] == [1]", "[1 2] == [1]", '{"a" 1} == {}', "Len(,) == 1"):
        with pytest.raises(BadCondition):
            parse(text)
