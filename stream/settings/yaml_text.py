"""YAML as the operator means it: the 1.2 core types, no key twice, errors with line and column."""

import re
from typing import Any, Final

import yaml

from stream.settings.errors import ABSENT, Problem, SettingsError

_CORE_TYPES: Final = (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
        "-+.0123456789",
    ),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:merge", r"<<", "<"),
)


_QUOTED: Final = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
_HARMLESS: Final = re.compile(r"""['"](?:.|\\.|\\x..|<[a-z ]+>)['"]""")
_REMEDIES: Final = (
    ("character '\\t'", "indent with spaces, not with tabs"),
    ("alias", "quote a text that begins with `*`, or define the anchor with `&` before it"),
    ("mapping values", "mend the indentation, or quote a text that holds `: `"),
    ("<block end>", "indent the lines of one list or map alike"),
    (
        "expected ',' or",
        "close the bracket before this place; in brackets quote a text that holds `{`",
    ),
    ("end of stream", "close the quote that is open; quote texts"),
    ("another document", "keep one document, without `---` between"),
    ("tag", "remove the `!`, or quote a text that begins with it"),
)
"""What to do, by what PyYAML says."""


class _Loader(yaml.SafeLoader):
    """The safe loader with YAML 1.2's core types.

    The 1.1 types would read `off` as false, `10:20` as 620 and a host name `0123` as octal 83.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own protocol: a class attribute

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """Construct a mapping, refusing a key that comes twice."""
        seen: set[Any] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = key_node.value
            if isinstance(key, str) and key != "<<" and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key} comes twice", key_node.start_mark
                )
            seen.add(key if isinstance(key, str) else id(key))
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """The safe dumper, which also quotes what only YAML 1.2 would take for a number (`1e5`)."""


for _tag, _pattern, _first in _CORE_TYPES:
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), list(_first))
    _Dumper.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), list(_first))


def parse_yaml(text: str, source: str) -> Any:
    """Return the one YAML document in the text, None if it is empty.

    Args:
        text: the YAML.
        source: where it comes from, for the error: a file's name, or `--set a.b`.

    Raises:
        SettingsError: not YAML, several documents, or a key twice; says source:line:column.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        raise SettingsError([_problem(error, source)]) from None
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise SettingsError([_misread(error, source)]) from None
    except RecursionError:
        problem = Problem(source, ABSENT, "it is nested too deeply", "write it flat")
        raise SettingsError([problem]) from None


def parse_scalar(text: str) -> Any:
    """Return the text as the YAML scalar it is (number, boolean, null), else the text itself."""
    try:
        value = parse_yaml(text, "")
    except SettingsError:
        return text
    return value if isinstance(value, (int, float, bool, str, type(None))) else text


def inline_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        width=10**6,
        allow_unicode=True,
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _problem(error: yaml.YAMLError, source: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
    wrong = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML")
    if "comes twice" in wrong:
        return Problem(place, ABSENT, wrong, "keep one of them")
    # PyYAML quotes what it stumbled over; after `password: *` or `password: !` that is the secret.
    told = _QUOTED.sub(
        lambda found: found[0] if _HARMLESS.match(found[0]) else "(not shown)", wrong
    )
    return Problem(place, ABSENT, f"not YAML: {told}", _remedy(wrong))


def _misread(error: Exception, source: str) -> Problem:
    """Return what is wrong with a scalar that PyYAML stumbles over; its words may tell a secret."""
    if "Exceeds the limit" in str(error):  # an integer of more digits than Python converts
        return Problem(source, ABSENT, str(error), "write it shorter")
    wrong = "not YAML: a tag (`!!int`, `!!timestamp`, ...) does not fit what it stands before"
    return Problem(source, ABSENT, wrong, "remove the tag")


def _remedy(wrong: str) -> str:
    return next((remedy for said, remedy in _REMEDIES if said in wrong), "mend it there or before")
