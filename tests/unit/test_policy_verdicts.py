"""Policies under `compatibility: collector` against what the Collector itself says of traces.

`vectors/policy_verdicts.json` holds policies, and [trace as OTLP in base64, verdicts]: a letter a
policy, recorded with the evaluators of contrib's tailsamplingprocessor v0.158.0: `s` sampled, `n`
not sampled, `e` an error. The traces have several resources and scopes, times of 0 and of 2**63,
values of every type, empty texts, and keys that occur twice.
"""

import base64
import json
from pathlib import Path
from typing import Any, Final

import pytest

from stream.otlp.scan import scan
from stream.sampling.matcher import Matcher
from stream.settings.compiled import policies_of
from stream.settings.model import Settings

RECORDED: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "vectors" / "policy_verdicts.json").read_text()
)
LETTERS: Final = {"sampled": "s", "not_sampled": "n", "error": "e"}


def verdicts(compatibility: str) -> list[str]:
    """Return a letter for each policy, for each trace."""
    policies = [{**one, "name": f"p{at}"} for at, one in enumerate(RECORDED["policies"])]
    settings = Settings.model_validate(
        {"compatibility": compatibility, "tail_sampling": {"policies": policies}}
    )
    matcher = Matcher()
    judges = policies_of(settings.tail_sampling, matcher, as_collector=settings.as_collector)
    plan = matcher.plan()
    told = []
    for text, _ in RECORDED["traces"]:
        body = base64.b64decode(text)
        (fragment,) = scan(body, plan).fragments
        assert judges.look_back is not None
        fragment.bits = judges.look_back(fragment.bits, lambda body=body: [body])  # type: ignore[misc]  # its own
        told.append("".join(LETTERS[vote.value] for _, vote in judges.judge(fragment).votes))
    return told


def test_every_verdict_is_the_collectors() -> None:
    recorded = [letters for _, letters in RECORDED["traces"]]
    assert verdicts("collector") == recorded
    assert {letter for letters in recorded for letter in letters} == set("sne")


@pytest.mark.parametrize("at", range(len(RECORDED["policies"])))
def test_every_policy_is_seen_to_keep_and_not_to_keep(at: int) -> None:
    options = RECORDED["policies"][at].get("string_attribute", {})
    only_empty = options.get("values") == [""]  # which the Collector ignores
    seen = {letters[at] for _, letters in RECORDED["traces"]}
    assert (len(seen) > 1) is not only_empty
