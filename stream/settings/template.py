"""The YAML that `tailstream init` writes: every setting with its meaning and default."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stream.settings.errors import Problem
from stream.settings.fields import Block, block_of, fields_by_key, written
from stream.settings.load import DEFAULT_REFERENCES
from stream.settings.model import Settings
from stream.settings.reference import default_text
from stream.settings.tail_sampling import NOT_NEEDED, TailSampling
from stream.settings.walk import Leaf
from stream.settings.yaml_text import inline_yaml

_WIDTH: Final = 100
_HEAD: Final = """\
# Settings of Tailstream. Every setting is here with its default; what you leave away keeps it.
# Durations: 500ms, 30s, 1m30s. Sizes: 1000000, 64KiB, 512MiB. ${env:NAME:-default} is replaced
# from the environment; $$ is a dollar sign. Check it with: tailstream validate --config FILE
"""
_KAFKA: Final = (
    "librdkafka's settings by their own names; `tailstream validate` names those that are set "
    "elsewhere. For a password write ${env:NAME}."
)


def template(pasted: Mapping[str, Any] | None = None, problems: Sequence[Problem] = ()) -> str:
    """Return the commented YAML of all defaults.

    Args:
        pasted: a Collector's `tail_sampling` block to take over as it is written, each option
            marked honoured, not needed here, or by what stops the start; None: the default block.
        problems: what stops the start.
    """
    lines = [_HEAD]
    for key, field in fields_by_key(Settings).items():
        block = block_of(field)
        if key == "kafka":
            lines += [*_comment(_KAFKA, ""), "kafka:", *_kafka_lines()]
        elif block is TailSampling:
            lines += ["# What is kept: the Collector's block.", "tail_sampling:"]
            lines += (
                _default_sampling_lines() if pasted is None else _pasted_lines(pasted, problems)
            )
        elif block is not None:
            lines += _block_lines(key, block, "")
        else:
            lines += _setting_lines(Leaf(key, field), "")
        lines.append("")
    return "\n".join(lines)


def _kafka_lines() -> Iterator[str]:
    yield f"  bootstrap.servers: {DEFAULT_REFERENCES['kafka']['bootstrap.servers']}"
    yield "  security.protocol: PLAINTEXT"


def _block_lines(path: str, block: type[Block], indent: str) -> Iterator[str]:
    yield from _comment(block.__doc__ or "", indent)
    yield f"{indent}{path.rpartition('.')[2]}:"
    for name, field in fields_by_key(block).items():
        inner = block_of(field)
        if inner is not None:
            yield from _block_lines(f"{path}.{name}", inner, f"{indent}  ")
        else:
            yield from _setting_lines(Leaf(f"{path}.{name}", field), f"{indent}  ")


def _setting_lines(leaf: Leaf, indent: str) -> Iterator[str]:
    description = leaf.field.description or ""
    choices = f" ({leaf.kind})" if leaf.kind.startswith("one of") else ""
    yield from _comment(description.rstrip(".") + choices + ".", indent)
    yield f"{indent}{leaf.path.rpartition('.')[2]}: {default_text(leaf)}"


def _default_sampling_lines() -> Iterator[str]:
    idle = NOT_NEEDED
    defaults = written(TailSampling())
    for name, field in fields_by_key(TailSampling).items():
        if name == "policies":
            yield from _comment(field.description or "", "  ")
            yield "  policies:"
            yield from (f"    - {inline_yaml(_brief(policy))}" for policy in defaults["policies"])
        elif name not in idle:
            yield from _setting_lines(Leaf(f"tail_sampling.{name}", field), "  ")
    yield from _comment("Options of the Collector that are not needed here, so left out:", "  ")
    for name in NOT_NEEDED:
        yield f"  #   {name}: {NOT_NEEDED[name]}"


def _pasted_lines(pasted: Mapping[str, Any], problems: Sequence[Problem]) -> Iterator[str]:
    for option, value in pasted.items():
        if option == "policies" and isinstance(value, list) and value:
            yield "  policies:"
            for index, policy in enumerate(value):
                yield from _standing(f"policies[{index}]", problems, "    ")
                yield f"    - {inline_yaml(policy)}"
        else:
            yield from _standing(str(option), problems, "  ")
            yield f"  {option}: {inline_yaml(value)}"
    if not pasted:
        yield "  {}"


def _standing(option: str, problems: Sequence[Problem], indent: str) -> Iterator[str]:
    """Yield the comments above what was taken over: what becomes of it."""
    path = f"tail_sampling.{option}"
    stops = [each for each in problems if _is_at(path, each.setting)]
    for problem in stops:
        yield from _comment(f"stops the start: {problem.wrong}; {problem.remedy}", indent)
    if not stops and option in NOT_NEEDED:
        yield from _comment(f"not needed here: {NOT_NEEDED[option]}", indent)
    elif not stops:
        yield from _comment("honoured", indent)


def _is_at(path: str, setting: str) -> bool:
    return setting.startswith(path) and setting[len(path) : len(path) + 1] in ("", ".", "[")


def _brief(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return a default policy without the options that only repeat their own default."""
    kind = policy["type"]
    options = {name: value for name, value in policy[kind].items() if value not in (0, "")}
    return {"name": policy["name"], "type": kind, kind: options}


def _comment(text: str, indent: str) -> list[str]:
    # A long name or reference is never broken: a line may be wider than the page.
    prefix = f"{indent}# "
    flat = " ".join(text.split())
    return textwrap.wrap(
        flat,
        width=_WIDTH,
        initial_indent=prefix,
        subsequent_indent=prefix,
        break_long_words=False,
        break_on_hyphens=False,
    )
