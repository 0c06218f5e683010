"""What is recorded and replayed: the configurations, and the blocks that only start or do not."""

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

HERE: Final = Path(__file__).parent
Block = dict[str, Any]

DEFAULTS: Final[Block] = {"decision_wait": "60s", "num_traces": 100_000}
"""What a block has that does not say otherwise: a wait in which both phases of a corpus come."""

_OWN: Final = ("differs", "corpus", "compare", "replay", "gate")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A `tail_sampling` block, and how it is recorded and replayed (`configurations.yaml`)."""

    name: str
    block: Block
    differs: tuple[str, ...] = ()
    corpus: str = "main"
    compare: str = "verdicts"
    replay: str = ""
    gate: str = ""

    @property
    def policies(self) -> list[str]:
        """Return the names of the policies, as written."""
        return [policy["name"] for policy in self.block["policies"]]

    @property
    def waits(self) -> bool:
        """Whether some traces are decided before the late part of the corpus comes."""
        return self.block["decision_wait"] != DEFAULTS["decision_wait"] or (
            "decision_wait_after_root_received" in self.block
        )

    @property
    def digest(self) -> str:
        """Return a hash of all that the recorded verdicts depend on, but for the corpus itself."""
        judged = json.dumps([self.block, self.corpus, self.compare, self.gate], sort_keys=True)
        return hashlib.sha256(judged.encode()).hexdigest()[:12]

    def for_the_collector(self) -> Block:
        """Return the block without what is ours."""
        block = copy.deepcopy(self.block)
        for options in _options(block):
            options.pop("mode", None)
        return block


@cache
def configurations() -> dict[str, Configuration]:
    """Return all configurations by name."""
    written = yaml.safe_load((HERE / "configurations.yaml").read_text())
    return {name: _configuration(name, of_one) for name, of_one in written.items()}


@dataclass(frozen=True, slots=True)
class Start:
    """A block with something odd; `why` only one of the Collector and Tailstream starts with it."""

    block: Block
    why: str = ""


@cache
def starts() -> dict[str, Start]:
    """Return the odd blocks by name."""
    written: dict[str, Block] = yaml.safe_load((HERE / "starts.yaml").read_text())
    return {
        name: Start({**DEFAULTS, **block}, why)
        for name, block in written.items()
        for why in [block.pop("why", "")]
    }


def _configuration(name: str, of_one: Block) -> Configuration:
    block = {**DEFAULTS, **{key: value for key, value in of_one.items() if key not in _OWN}}
    own = {key: value for key, value in of_one.items() if key in _OWN and key != "differs"}
    return Configuration(name, block, tuple(of_one.get("differs", ())), **own)


def _options(tree: Any) -> Iterator[Block]:
    """Yield the options of every probabilistic policy, at any depth."""
    if isinstance(tree, dict):
        if tree.get("type") == "probabilistic":
            yield tree["probabilistic"]
        for value in tree.values():
            yield from _options(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _options(value)
