"""From the values in a condition's tree to what reads them: paths, calls, lists, arithmetic."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NoReturn

from stream.sampling.ottl import syntax
from stream.sampling.ottl.arguments import Arguments
from stream.sampling.ottl.arithmetic import OPERATIONS, negated
from stream.sampling.ottl.errors import BadCondition, Failed
from stream.sampling.ottl.functions import FUNCTIONS, REFUSED, Function
from stream.sampling.ottl.paths import ENUMS, FIELDS, Attributes, Kind, Members, readable
from stream.sampling.ottl.reading import Reading, attribute, constant, indexed, member
from stream.sampling.ottl.values import Value
from stream.sampling.ottl.view import PARENT_SPAN_ID, View

_ROOT_SPAN: Final = Function((), lambda view: not any(view.span.text(PARENT_SPAN_ID)), truth=True)
"""`IsRootSpan()`, which reads the view itself."""

_OPERANDS: Final = (int, float)


class Expressions:
    """The values of one condition's text; raises BadCondition with the place in it."""

    def __init__(self, text: str, kind: Kind) -> None:
        self._text = text
        self._kind: Kind = kind
        self._arguments = Arguments(self.value, self._refuse)

    def value(self, node: syntax.Node) -> Reading:  # noqa: PLR0911 - one a kind of node
        """Return what reads this value. A condition is none."""
        match node:
            case syntax.Literal():
                return constant(node.value, literal=True)
            case syntax.Enum():
                return constant(self._enum(node), literal=True)
            case syntax.Path():
                return self._path(node)
            case syntax.Call():
                return self._call(node)
            case syntax.Sign():
                return self._sign(node)
            case syntax.Arithmetic():
                return self._arithmetic(node)
            case syntax.ListOf():
                return self._built([self.value(each) for each in node.values], list)
            case syntax.MapOf():
                keys = [key for key, _ in node.entries]
                values = [self.value(each) for _, each in node.entries]
                return self._built(values, lambda read: dict(zip(keys, read, strict=True)))
        wrong = "a condition cannot stand where a value is needed"
        raise BadCondition(self._text, node.at, wrong, "remove it")

    def function(self, node: syntax.Call) -> Function:
        """Return the function that is called."""
        if node.name == "IsRootSpan" and self._kind == "span":
            return _ROOT_SPAN
        if node.name not in FUNCTIONS:
            known = sorted((*FUNCTIONS, "IsRootSpan") if self._kind == "span" else FUNCTIONS)
            if node.name in REFUSED:
                wrong, remedy = REFUSED[node.name], f"supported are {', '.join(known)}"
                self._refuse(node, f"{node.name}: {wrong}", remedy)
            self._refuse(node, f"no such function: {node.name}", _supported(node.name, known))
        return FUNCTIONS[node.name]

    def _meant(self, node: syntax.Path, names: tuple[str, ...]) -> str:
        """Return what to write instead of a path that is none."""
        if names in {("null",), ("none",), ("undefined",)}:
            return "write nil"
        if self._kind == "span" and readable("spanevent", names):
            return "write the condition below spanevent:, where events are"
        # What reads like a map of attributes, in two ways: attributes.key, and resource["key"].
        for path, key in (names[:-1], names[-1]), ((*names, "attributes"), _key(node)):
            if key and path and isinstance(readable(self._kind, path), Attributes):
                return f'write {".".join(path)}["{key}"]'
        known = [".".join(each) for each in FIELDS[self._kind]]
        return _supported(".".join(names), known)

    def _enum(self, node: syntax.Enum) -> int:
        if node.name not in ENUMS:
            ends = [name for name in ENUMS if name.endswith(f"_{node.name}")]
            remedy = f"did you mean {ends[0]}?" if ends else _supported(node.name, ENUMS)
            self._refuse(node, f"no such name: {node.name}", remedy)
        return ENUMS[node.name]

    def _path(self, node: syntax.Path) -> Reading:
        names = tuple(segment.name for segment in node.segments)
        field = readable(self._kind, names)
        if field is None:
            dotted = ".".join(names)
            self._refuse(node, f"no such path: {dotted}", self._meant(node, names))
        *before, last = node.segments
        if any(segment.keys for segment in before) or (
            last.keys and not isinstance(field, Attributes | Members)
        ):
            self._refuse(node, f"{'.'.join(names)} cannot be indexed", "remove the brackets")
        keys = [self.value(key) for key in last.keys]
        if isinstance(field, Attributes):
            if not keys:
                locate, tag = field.locate, field.tag
                return Reading(lambda view: locate(view).map(tag))
            if keys[0].constant and type(keys[0].value) is not bytes:
                self._refuse(last.keys[0], "attributes are indexed by a text", 'write ["the key"]')
            within = field.locate if len(keys) == 1 and keys[0].constant else None
            return Reading(attribute(field, keys), within=within)
        if not keys:
            return Reading(field.read, within=getattr(field, "within", None))
        if len(keys) != 1 or not keys[0].literal or type(keys[0].value) is not bytes:
            self._refuse(last.keys[0], "trace_state is indexed by one text", 'write ["the key"]')
        return Reading(member(field.read, keys[0].value))

    def _sign(self, node: syntax.Sign) -> Reading:
        self._check_operand(node.value)
        reading = self.value(node.value)
        if node.operator == "+":
            return reading
        if reading.literal:
            return constant(negated(reading.value), literal=True)
        return self._applied(node, negated, [reading])

    def _arithmetic(self, node: syntax.Arithmetic) -> Reading:
        self._check_operand(node.first)
        result = self.value(node.first)
        for symbol, operand in node.rest:
            self._check_operand(operand)
            result = self._applied(node, OPERATIONS[symbol], [result, self.value(operand)])
        return result

    def _check_operand(self, node: syntax.Node) -> None:
        is_number = isinstance(node, syntax.Literal) and type(node.value) in _OPERANDS
        if not is_number and not isinstance(
            node, syntax.Path | syntax.Call | syntax.Arithmetic | syntax.Sign
        ):
            wrong = "arithmetic takes numbers, paths and calls"
            self._refuse(node, wrong, "write a number, or compare it instead")

    def _built(self, parts: Sequence[Reading], build: Callable[[list[Value]], Value]) -> Reading:
        if all(part.constant for part in parts):
            built = build([part.value for part in parts])
            return constant(built, literal=all(part.literal for part in parts))
        reads = [part.read for part in parts]
        return Reading(lambda view: build([read(view) for read in reads]))

    def _call(self, node: syntax.Call) -> Reading:
        function = self.function(node)
        if node.name == "Coalesce":
            elements = self._arguments.elements(node, function.parameters[0])
            if not elements:
                self._refuse(node, "Coalesce of nothing", "write one value at least")
            reading = _first_of(elements)
        else:
            arguments = self._arguments.of(node, function.parameters)
            reading = self._applied(node, self._prepared(node, function, arguments), arguments)
        if not node.keys:
            return reading
        return Reading(indexed(reading.read, [self.value(key) for key in node.keys]))

    def _prepared(
        self, node: syntax.Call, function: Function, arguments: Sequence[Reading]
    ) -> Callable[..., Value]:
        if function.prepare is None:
            return function.call
        try:
            return function.prepare(*(argument.value for argument in arguments))
        except Failed as failed:
            told = str(failed)
            remedy = "mend it: RE2 has no look-around and no backreferences"
            self._refuse(node, f"{node.name}: {told}", remedy if "RE2" in told else "mend it")

    def _applied(
        self, node: syntax.Node, call: Callable[..., Value], arguments: Sequence[Reading]
    ) -> Reading:
        """Return what calls the function; its value, where nothing depends on the view."""
        if arguments and all(argument.constant for argument in arguments):
            try:
                return constant(call(*(argument.value for argument in arguments)))
            except Failed as failed:
                self._refuse(node, f"fails for every span: {failed}", "mend or remove it")
        if len(arguments) == 1:
            (read,) = (argument.read for argument in arguments)
            return Reading(lambda view: call(read(view)))
        reads = [argument.read for argument in arguments]
        if not reads:
            return Reading(call)
        return Reading(lambda view: call(*[read(view) for read in reads]))

    def _refuse(self, node: syntax.Node, wrong: str, remedy: str) -> NoReturn:
        raise BadCondition(self._text, node.at, wrong, remedy)


def _first_of(readings: Sequence[Reading]) -> Reading:
    """Return what reads the first that is not nil, and asks none after it."""
    reads = [reading.read for reading in readings]

    def first(view: View) -> Value:
        for read in reads:
            value = read(view)
            if value is not None:
                return value
        return None

    return Reading(first)


def _key(node: syntax.Path) -> str:
    """Return the text that a path is indexed by, empty if it is by none."""
    match node.segments[-1].keys:
        case (syntax.Literal(value=bytes() as key), *_):
            return key.decode(errors="replace")
    return ""


def _supported(given: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"supported are {', '.join(names)}"
