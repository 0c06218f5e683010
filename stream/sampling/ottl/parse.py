"""From a condition's text to its tree. Grammar: contrib, pkg/ottl/grammar.go, as LALR.

One rule covers booleans and values, so that a parenthesis need not say what it holds; `compile`
tells the two apart. A condition's depth is bounded here, so nothing after it can nest deeper.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from stream.sampling.ottl import syntax
from stream.sampling.ottl.errors import BadCondition
from stream.sampling.ottl.unquote import BadEscape, unquote
from stream.sampling.ottl.values import INT64_MAX, Octets, Value

CHARS_MAX: Final = 16_384
"""The longest condition."""

DEPTH_MAX: Final = 50
"""How deep brackets may nest."""

_GRAMMAR: Final = r"""
?start: either
?either: both
    | both (_OR both)+                      -> any_of
?both: negated
    | negated (_AND negated)+               -> all_of
?negated: compared
    | NOT compared                          -> negation
?compared: sum
    | sum COMPARISON sum                    -> comparison
?sum: product
    | product (SIGN product)+               -> arithmetic
?product: signed
    | signed (TIMES signed)+                -> arithmetic
?signed: primary
    | SIGN primary                          -> sign
?primary: literal
    | CAPITAL                               -> enum
    | CAPITAL "(" arguments ")" keys        -> call
    | segment ("." segment)*                -> path
    | OPEN_LIST [either ("," either)*] "]" -> list_of
    | OPEN_MAP [entry ("," entry)* [","]] "}"    -> map_of
    | "(" either ")"
literal: NIL | BOOLEAN | STRING | BYTES | FLOAT | INT
arguments: [argument ("," argument)*]
argument: [(LOWER | MIXED) "="] either
entry: STRING ":" either
segment: LOWER keys
keys: ("[" either "]")*

NIL.9: /nil\b/
NOT.9: /not\b/
_OR.9: /or\b/
_AND.9: /and\b/
BOOLEAN.9: /(true|false)\b/
BYTES.8: /0x[0-9a-fA-F]+/
FLOAT.7: /([0-9]+\.[0-9]*|[0-9]*\.[0-9]+)([eE][-+]?[0-9]+)?/
INT.6: /[0-9]+/
STRING: /"(\\.|[^\\"])*"/
COMPARISON: /==|!=|>=|<=|>|</
SIGN: /[-+]/
TIMES: /[*\/]/
CAPITAL: /[A-Z][A-Za-z0-9_]*/
MIXED.2: /[a-z][a-z0-9_]*[A-Z][A-Za-z0-9_]*/
LOWER.1: /[a-z][a-z0-9_]*/
OPEN_LIST: "["
OPEN_MAP: "{"
WS: /[ \t\r\n\f\v]+/
%ignore WS
"""

_DIGITS_MAX: Final = 40  # far beyond 64 bits, and quickly read
_BRACKETS: Final = re.compile(r'"(?:\\.|[^\\"])*"|([\[({])|([\])}])')
_WORDS: Final = {
    "COMPARISON": "a comparison",
    "_AND": "and",
    "_OR": "or",
    "RPAR": ")",
    "RSQB": "]",
    "RBRACE": "}",
    "COMMA": ",",
    "COLON": ":",
    "$END": "the end",
}
_HINTS: Final = (
    (
        re.compile(r"=>"),
        "at least is >=; functions as arguments are behind a gate that is shut in the Collector",
    ),
    (re.compile(r"=~|~|(matches|like)\b"), "a text is searched with IsMatch(target, pattern)"),
    (re.compile(r"=(?!=)"), "two values are compared with =="),
    (re.compile(r"`"), 'texts stand in double quotes, e.g. "GET"'),
    (re.compile(r"(AND|OR|NOT)\b"), "`and`, `or` and `not` are written small"),
    (
        re.compile(r"in\b"),
        "compare with each, joined with `or`, or write ContainsValue(list, value)",
    ),
    (re.compile(r"is\b"), "write == nil or != nil, or a function like IsString(...)"),
    (re.compile(r"where\b"), "a condition has no `where`: join what stands before and after it"),
    (re.compile(r";"), "write each condition as one more of the list"),
    (re.compile(r"'"), 'texts stand in double quotes, e.g. "GET"'),
    (re.compile(r'"'), "the text has no closing quote"),
    (re.compile(r"&"), "conditions are joined with `and`"),
    (re.compile(r"\|"), "conditions are joined with `or`"),
    (re.compile(r"!"), "a condition is turned round with `not`"),
    (
        re.compile(r"[a-z]\w*\s*\(|\("),
        "functions begin with a capital letter, e.g. IsMatch(span.name, ...)",
    ),
    (re.compile(r"not\b"), "`not` stands before a whole condition, once"),
)


def parse(text: str) -> syntax.Node:
    """Return the tree of a condition.

    Raises:
        BadCondition: it is none; says where and why.
    """
    if len(text) > CHARS_MAX:
        raise BadCondition(
            text, CHARS_MAX, f"more than {CHARS_MAX} characters", "write several conditions"
        )
    if not text.strip():
        raise BadCondition(text, 0, "empty", 'write a condition, e.g. span.name == "checkout"')
    _check_depth(text)
    try:
        tree = _PARSER.parse(text)
    except UnexpectedInput as unexpected:
        raise _explained(text, unexpected) from None
    except _Wrong as wrong:
        raise BadCondition(text, wrong.at, wrong.wrong, wrong.remedy) from None
    assert not isinstance(tree, Token)
    return tree  # type: ignore[return-value]  # the transformer makes nodes, not lark's trees


def _check_depth(text: str) -> None:
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth += (bracket[1] is not None) - (bracket[2] is not None)
        if depth > DEPTH_MAX:
            wrong = f"brackets nest deeper than {DEPTH_MAX}"
            raise BadCondition(text, bracket.start(), wrong, "write several conditions")


class _Wrong(Exception):  # noqa: N818  # becomes a BadCondition, which needs the text
    def __init__(self, at: int, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.at, self.wrong, self.remedy = at, wrong, remedy


@v_args(inline=True)
class _ToNodes(Transformer[Token, Any]):
    """Called by the parser for each rule as it is reduced, so its depth is nobody's stack."""

    def any_of(self, *conditions: Any) -> syntax.AnyOf:
        return syntax.AnyOf(conditions, conditions[0].at)

    def all_of(self, *conditions: Any) -> syntax.AllOf:
        return syntax.AllOf(conditions, conditions[0].at)

    def negation(self, word: Token, condition: Any) -> syntax.Not:
        return syntax.Not(condition, _at(word))

    def comparison(self, left: Any, operator: Token, right: Any) -> syntax.Comparison:
        return syntax.Comparison(str(operator), left, right, _at(operator))

    def arithmetic(self, first: Any, *rest: Any) -> syntax.Arithmetic:
        pairs = zip(map(str, rest[::2]), rest[1::2], strict=True)
        return syntax.Arithmetic(first, tuple(pairs), first.at)

    def sign(self, operator: Token, value: Any) -> syntax.Sign:
        return syntax.Sign(str(operator), value, _at(operator))

    def literal(self, token: Token) -> syntax.Literal:
        return syntax.Literal(_value(token), _at(token))

    def enum(self, name: Token) -> syntax.Enum:
        return syntax.Enum(str(name), _at(name))

    def call(self, name: Token, arguments: Any, keys: Any) -> syntax.Call:
        return syntax.Call(str(name), arguments, keys, _at(name))

    def path(self, *segments: syntax.Segment) -> syntax.Path:
        return syntax.Path(segments, segments[0].at)

    def segment(self, name: Token, keys: Any) -> syntax.Segment:
        return syntax.Segment(str(name), keys, _at(name))

    def list_of(self, bracket: Token, *values: Any) -> syntax.ListOf:
        return syntax.ListOf(_given(values), _at(bracket))

    def map_of(self, bracket: Token, *entries: Any) -> syntax.MapOf:
        return syntax.MapOf(_given(entries), _at(bracket))

    def entry(self, key: Token, value: Any) -> tuple[bytes, Any]:
        return _text(key), value

    def arguments(self, *arguments: Any) -> tuple[Any, ...]:
        return _given(arguments)

    def argument(self, name: Token | None, value: Any) -> syntax.Argument:
        return syntax.Argument(str(name or ""), value)

    def keys(self, *keys: Any) -> tuple[Any, ...]:
        return keys


def _given(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values, none where an optional list was left out."""
    return tuple(value for value in values if value is not None)


def _at(token: Token) -> int:
    assert token.start_pos is not None
    return token.start_pos


def _value(token: Token) -> Value:
    match token.type:
        case "STRING":
            return _text(token)
        case "BYTES":
            return _octets(token)
        case "INT":
            number = int(token) if len(token) < _DIGITS_MAX else INT64_MAX + 1
            if number > INT64_MAX:
                raise _Wrong(_at(token), "beyond 64 bits", f"write at most {INT64_MAX}")
            return number
        case "FLOAT":
            double = float(token)
            if double == float("inf"):
                raise _Wrong(_at(token), "beyond a double", "write a number below 1.8e308")
            return double
        case "BOOLEAN":
            return str(token) == "true"
        case _:
            return None


def _text(token: Token) -> bytes:
    try:
        return unquote(token[1:-1])
    except BadEscape as bad:
        remedy = r"write \\ for a backslash and \" for a quote"
        raise _Wrong(_at(token) + 1 + bad.at, bad.wrong, remedy) from None


def _octets(token: Token) -> Octets:
    if len(token) % 2:
        raise _Wrong(_at(token), "half a byte", "write two digits for each byte, e.g. 0x0aff")
    return Octets(bytes.fromhex(token[2:]))


_PARSER: Final = Lark(
    _GRAMMAR,
    parser="lalr",
    lexer="basic",
    transformer=_ToNodes(),
    maybe_placeholders=True,
    propagate_positions=False,
)


def _explained(text: str, unexpected: UnexpectedInput) -> BadCondition:
    expected: set[str] = set()
    at = len(text)
    if isinstance(unexpected, UnexpectedToken):
        expected = unexpected.accepts or set(unexpected.expected)
        if unexpected.token.type == "$END":
            return BadCondition(text, at, "ends too early", _wanted(expected))
        at = _at(unexpected.token)
    elif isinstance(unexpected, UnexpectedCharacters):
        at = int(unexpected.pos_in_stream or 0)
    shown = re.match(r'\w+|==|"(?:\\.|[^\\"])*"|.', text[at:], re.DOTALL)
    wrong = f"`{shown[0][:40] if shown else ''}` cannot stand here"
    for pattern, hint in _HINTS:
        if pattern.match(text, at):
            return BadCondition(text, at, wrong, hint)
    return BadCondition(text, at, wrong, _wanted(expected))


def _wanted(expected: set[str]) -> str:
    words = list(_words_for(expected))
    return f"expected {', '.join(words)}" if words else "remove it"


def _words_for(expected: set[str]) -> Iterator[str]:
    if "NIL" in expected:
        yield "a value"
    for token, word in _WORDS.items():
        if token in expected:
            yield word
