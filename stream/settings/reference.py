"""The table of all settings, generated from the model, for the README."""

from collections.abc import Iterator

from stream.settings.fields import unit_of, written_value
from stream.settings.load import DEFAULT_REFERENCES
from stream.settings.policies import POLICY_BLOCKS
from stream.settings.policy_block import PolicyBlock
from stream.settings.tail_sampling import NOT_NEEDED
from stream.settings.walk import Leaf, choices_of, leaves
from stream.settings.yaml_text import inline_yaml

BEGIN = "<!-- settings:begin -->"
END = "<!-- settings:end -->"


def settings_table() -> str:
    """Return a Markdown table of every setting: name, default, what it takes, meaning."""
    rows = ["| setting | default | takes | meaning |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{path}` | {_code(default)} | {kind} | {meaning} |"
        for path, default, kind, meaning in _rows()
    ]
    return "\n".join(rows) + "\n"


def default_text(leaf: Leaf) -> str:
    """Return a setting's default as YAML writes it on one line; empty where it must be given."""
    section, _, name = leaf.path.partition(".")
    reference = DEFAULT_REFERENCES.get(section, {}).get(name)
    if reference is not None:
        return str(reference)
    if leaf.field.is_required() or leaf.field.default_factory is not None:
        return ""
    value = written_value(leaf.field.default, unit_of(leaf.field))
    return "" if value in (None, "") else inline_yaml(value)


def _rows() -> Iterator[tuple[str, str, str, str]]:
    for leaf in leaves():
        if leaf.path == "kafka":
            yield from _kafka_rows(leaf)
            continue
        kind = "list of policies" if leaf.path == "tail_sampling.policies" else leaf.kind
        default = "errors, slow, rest" if kind == "list of policies" else default_text(leaf)
        yield leaf.path, default, kind, _meaning(leaf)
        if kind == "list of policies":
            yield from _policy_rows(f"{leaf.path}[]")


def _kafka_rows(leaf: Leaf) -> Iterator[tuple[str, str, str, str]]:
    servers = DEFAULT_REFERENCES["kafka"]["bootstrap.servers"]
    yield "kafka.bootstrap.servers", servers, "text", "The brokers, `host:port,host:port`."
    protocols = "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    yield "kafka.security.protocol", "PLAINTEXT", "text", protocols
    yield "kafka.*", "", "text, number, true or false", leaf.field.description or ""


def _policy_rows(prefix: str) -> Iterator[tuple[str, str, str, str]]:
    yield f"{prefix}.name", "", "text", "The policy's name, unique; part of every decision."
    yield f"{prefix}.type", "", f"one of {', '.join(POLICY_BLOCKS)}", "What the policy looks at."
    mode = PolicyBlock.model_fields["mode"]
    kind = f"one of {', '.join(choices_of(mode))}"
    yield f"{prefix}.mode", _code(str(mode.default)), kind, mode.description or ""
    for kind, block in POLICY_BLOCKS.items():
        for leaf in leaves(block, f"{prefix}."):
            if leaf.path.startswith(f"{prefix}.{kind}."):
                yield leaf.path, default_text(leaf), leaf.kind, leaf.field.description or ""


def _meaning(leaf: Leaf) -> str:
    """Return a setting's description, or what does the job of a Collector option instead."""
    section, _, rest = leaf.path.partition(".")
    option = rest.partition(".")[0]
    if section == "tail_sampling" and option in NOT_NEEDED:
        return f"Not needed here: {NOT_NEEDED[option]}."
    return leaf.field.description or ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
