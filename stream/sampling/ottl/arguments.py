"""What a call hands to a function: by place or by name, checked and converted."""

from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn, TypeAlias

from stream.sampling.ottl import syntax
from stream.sampling.ottl.convert import anything
from stream.sampling.ottl.errors import Failed
from stream.sampling.ottl.functions import Parameter
from stream.sampling.ottl.reading import Reading, constant
from stream.sampling.ottl.values import NAMES

Refuse: TypeAlias = Callable[[syntax.Node, str, str], NoReturn]
"""Raises BadCondition at a node: what is wrong, and the remedy."""


class Arguments:
    """Reads the arguments of calls; `value` is what reads a node."""

    def __init__(self, value: Callable[[syntax.Node], Reading], refuse: Refuse) -> None:
        self._value = value
        self._refuse = refuse

    def of(self, node: syntax.Call, parameters: Sequence[Parameter]) -> list[Reading]:
        """Return a reading for each parameter, without optional ones at the end."""
        given = self._by_name(node, parameters)
        readings: list[Reading] = []
        for parameter in parameters:
            argument = given.get(parameter.name)
            if argument is None:
                if not parameter.optional:
                    self._refuse_signature(node, parameters)
                break
            readings.append(self._reading(argument, parameter))
        return readings

    def elements(self, node: syntax.Call, parameter: Parameter) -> list[Reading]:
        """Return a reading for each element of the list that is this call's only argument."""
        argument = self._by_name(node, [parameter]).get(parameter.name)
        if argument is None:
            self._refuse_signature(node, [parameter])
        return self._elements(argument, parameter)

    def _by_name(
        self, node: syntax.Call, parameters: Sequence[Parameter]
    ) -> dict[str, syntax.Node]:
        given: dict[str, syntax.Node] = {}
        named = False
        if len(node.arguments) > len(parameters):
            self._refuse_signature(node, parameters)
        for argument, parameter in zip(node.arguments, parameters, strict=False):
            named = named or argument.name != ""
            name = argument.name or parameter.name
            known = any(each.name == name for each in parameters)
            if not known or name in given or (named and not argument.name):
                self._refuse_signature(node, parameters)
            given[name] = argument.value
        return given

    def _refuse_signature(self, node: syntax.Call, parameters: Sequence[Parameter]) -> NoReturn:
        takes = ", ".join(_shown(parameters))
        self._refuse(node, f"{node.name}: wrong arguments", f"write {node.name}({takes})")

    def _reading(self, node: syntax.Node, parameter: Parameter) -> Reading:
        if parameter.literal is not None:
            return self._literal(node, parameter.literal)
        if not parameter.many:
            return self._converted(node, parameter)
        elements = self._elements(node, parameter)
        if all(element.constant for element in elements):
            return constant([element.value for element in elements])
        reads = [element.read for element in elements]
        return Reading(lambda view: [read(view) for read in reads])

    def _elements(self, node: syntax.Node, parameter: Parameter) -> list[Reading]:
        if not isinstance(node, syntax.ListOf):
            self._refuse(node, f"{parameter.name} must be a list", "write [a, b]")
        return [self._converted(element, parameter) for element in node.values]

    def _literal(self, node: syntax.Node, kind: type) -> Reading:
        if not isinstance(node, syntax.Literal) or type(node.value) is not kind:
            self._refuse(node, "must be written here, not computed", f"write {NAMES[kind]}")
        return constant(node.value, literal=True)

    def _converted(self, node: syntax.Node, parameter: Parameter) -> Reading:
        reading = self._value(node)
        convert = parameter.convert
        if convert is anything:
            return reading
        if reading.constant:
            try:
                return constant(convert(reading.value), literal=reading.literal)
            except Failed as failed:
                self._refuse(node, f"{parameter.name}: {failed}", "mend it")
        read = reading.read
        return Reading(lambda view: convert(read(view)))


def _shown(parameters: Sequence[Parameter]) -> Iterator[str]:
    for parameter in parameters:
        name = f"[{parameter.name}, ...]" if parameter.many else parameter.name
        yield f"{name}?" if parameter.optional else name
