"""What was recorded, as it lies in the repository: `recorded.json`.

Where verdicts are compared a number a trace: 0 not sampled, else which policy keeps it, from 1, in
the order they are written; a byte each, deflated, base64. Else how many traces a policy keeps,
`{"class/policy": count}` or `{"policy": count}`.
"""

import base64
import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.conformance.configurations import Configuration
from tests.conformance.corpus import Corpus

FILE: Final = Path(__file__).parent / "recorded.json"
ANEW: Final = "record anew: make conformance-record"

Verdicts = Sequence[str]
"""The policy that keeps it, of each trace of a corpus in its order; "" where none does."""


class OutdatedError(AssertionError):
    """The recording is of another corpus or configuration."""


@dataclass(frozen=True, slots=True)
class Recording:
    """All that was recorded."""

    collector: str
    corpora: Mapping[str, str]
    verdicts: Mapping[str, Mapping[str, Any]]
    starts: Mapping[str, bool]

    def of(self, configuration: Configuration) -> Any:
        """Return what was recorded of a configuration, as `told` makes it of verdicts.

        Raises:
            OutdatedError: it is new, or has changed.
        """
        recorded = self.verdicts.get(configuration.name)
        if recorded is None or recorded["configuration"] != configuration.digest:
            raise OutdatedError(f"{configuration.name} is not what was recorded: {ANEW}")
        if configuration.compare != "verdicts":
            return recorded["kept"]
        letters = zlib.decompress(base64.b64decode(recorded["kept"]))
        names = ["", *configuration.policies]
        return [names[letter] for letter in letters]


def told(configuration: Configuration, corpus: Corpus, verdicts: Verdicts) -> Any:
    """Return of verdicts what is compared: each, or how many traces a policy keeps."""
    assert len(verdicts) == len(corpus.trace_ids)
    if configuration.compare == "verdicts":
        return list(verdicts)
    kept = Counter(
        policy if configuration.compare == "policies" else f"{its}/{policy}"
        for its, policy in zip(corpus.classes, verdicts, strict=True)
        if policy
    )
    return dict(sorted(kept.items()))


def entry(configuration: Configuration, compared: Any) -> dict[str, Any]:
    """Return what the file holds of a configuration."""
    if configuration.compare == "verdicts":
        names = ["", *configuration.policies]
        letters = bytes(names.index(policy) for policy in compared)
        compared = base64.b64encode(zlib.compress(letters, 9)).decode()
    return {"configuration": configuration.digest, "kept": compared}


@cache
def recording() -> Recording:
    """Read the file."""
    return Recording(**json.loads(FILE.read_text()))


def write(recorded: Recording) -> None:
    """Write the file, a line a configuration."""
    verdicts = {name: json.dumps(recorded.verdicts[name]) for name in sorted(recorded.verdicts)}
    lines = ",\n".join(f"  {json.dumps(name)}: {text}" for name, text in verdicts.items())
    FILE.write_text(
        f'{{\n "collector": {json.dumps(recorded.collector)},\n'
        f' "corpora": {json.dumps(dict(recorded.corpora))},\n'
        f' "starts": {json.dumps(dict(sorted(recorded.starts.items())), indent=2)},\n'
        f' "verdicts": {{\n{lines}\n }}\n}}\n'
    )
