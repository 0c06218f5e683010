"""From a condition's tree to a function of a view. What cannot be honoured stops here, with why.

A part without a path is evaluated once, here, so that what would fail for every span is told at
start. `and` and `or` with a literal are cut short as in the Collector (pkg/ottl/boolean_value.go).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from stream.sampling.ottl import syntax
from stream.sampling.ottl.errors import BadCondition, Failed
from stream.sampling.ottl.expressions import Expressions
from stream.sampling.ottl.parse import parse
from stream.sampling.ottl.paths import Kind
from stream.sampling.ottl.reading import Reading
from stream.sampling.ottl.values import NAMES, comparing
from stream.sampling.ottl.view import View

Evaluate: TypeAlias = Callable[[View], bool]

_NOT_A_CONDITION: Final = "a value alone is no condition"


@dataclass(frozen=True, slots=True)
class _Truth:
    """A condition compiled; `literal` is its truth where that is written in it."""

    evaluate: Evaluate
    literal: bool | None = None


def compile_condition(text: str, kind: Kind) -> Evaluate:
    """Return what says whether a view meets the condition; it raises Failed and Malformed.

    Raises:
        BadCondition: the text is no condition that is supported.
    """
    return _Conditions(text, kind).truth(parse(text)).evaluate


class _Conditions:
    def __init__(self, text: str, kind: Kind) -> None:
        self._text = text
        self._expressions = Expressions(text, kind)

    def truth(self, node: syntax.Node) -> _Truth:
        match node:
            case syntax.AnyOf():
                return self._joined(node.conditions, ends=True)
            case syntax.AllOf():
                return self._joined(node.conditions, ends=False)
            case syntax.Not():
                return self._negated(node)
            case syntax.Comparison():
                return self._comparison(node)
            case syntax.Literal(value=bool() as value):
                return _always(truth=value)
            case syntax.Call():
                return self._call(node)
        remedy = "compare it, e.g. `... == true`, or `... != nil`"
        raise BadCondition(self._text, node.at, _NOT_A_CONDITION, remedy)

    def _joined(self, nodes: Sequence[syntax.Node], *, ends: bool) -> _Truth:
        """`or`, which ends with the first true one, or `and`, which does with the first false."""
        truths = [self.truth(node) for node in nodes]
        if any(truth.literal is ends for truth in truths):
            return _always(truth=ends)
        left = [truth.evaluate for truth in truths if truth.literal is None]
        if not left:
            return _always(truth=not ends)
        if len(left) == 1:
            return _Truth(left[0])

        def joined(view: View) -> bool:
            for evaluate in left:
                if evaluate(view) is ends:
                    return ends
            return not ends

        return _Truth(joined)

    def _negated(self, node: syntax.Not) -> _Truth:
        truth = self.truth(node.condition)
        if truth.literal is not None:
            return _always(truth=not truth.literal)
        evaluate = truth.evaluate
        return _Truth(lambda view: not evaluate(view))

    def _comparison(self, node: syntax.Comparison) -> _Truth:
        left = self._expressions.value(node.left)
        right = self._expressions.value(node.right)
        compare = comparing(node.operator)
        if left.literal and right.literal:
            return _always(truth=compare(left.value, right.value))
        read = left.read
        if node.operator == "==" and right.constant and type(right.value) is bytes:
            return _Truth(_is_text(left, right.value))
        if right.constant:
            wanted = right.value
            return _Truth(lambda view: compare(read(view), wanted))
        other = right.read
        return _Truth(lambda view: compare(read(view), other(view)))

    def _call(self, node: syntax.Call) -> _Truth:
        if not node.keys and not self._expressions.function(node).truth:
            remedy = f"compare what {node.name} returns"
            raise BadCondition(self._text, node.at, _NOT_A_CONDITION, remedy)
        return _Truth(_must_be_boolean(self._expressions.value(node)))


def _always(*, truth: bool) -> _Truth:
    return _Truth(lambda _: truth, truth)


def _is_text(reading: Reading, wanted: bytes) -> Evaluate:
    """The condition that is met most often: decodes nothing where the text does not occur."""
    read, within = reading.read, reading.within

    def is_text(view: View) -> bool:
        value = read(view)
        return type(value) is bytes and value == wanted

    if within is None or not wanted:
        return is_text
    return lambda view: within(view).may_hold(wanted) and is_text(view)


def _must_be_boolean(reading: Reading) -> Evaluate:
    read = reading.read

    def evaluate(view: View) -> bool:
        value = read(view)
        if type(value) is bool:
            return value
        raise Failed(f"a condition is true or false, not {NAMES[type(value)]}")

    return evaluate
