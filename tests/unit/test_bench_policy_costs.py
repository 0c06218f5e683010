"""What `make bench POLICIES=1` measures: every type, beside a policy that keeps everything."""

from typing import get_args

import pytest
from rich.console import Console

from stream.settings.policy_block import PolicyBlock
from tests.bench.corpus import corpus
from tests.bench.policy_costs import ALWAYS, MODES, POLICIES, Pass, measure_policies, table

SPANS = 300


def types_known(block: type[PolicyBlock] = PolicyBlock) -> set[str]:
    own = block.model_fields.get("type")
    found = set(get_args(own.annotation)) if own else set()
    return found.union(*(types_known(below) for below in block.__subclasses__()))


def test_every_type_of_policy_is_measured() -> None:
    assert {policy["type"] for policy in POLICIES.values()} == types_known()


@pytest.mark.parametrize("mode", MODES)
def test_what_is_measured_is_that_policy_in_that_mode(mode: str) -> None:
    one = Pass([POLICIES["latency"], ALWAYS], mode)
    assert one.judging.names == ["slow", "always"]
    # The Collector's latency needs the spans themselves, ours the summary alone.
    assert (one.judging.look_back is not None) == (mode == "collector")


def test_every_trace_is_decided_in_every_pass() -> None:
    records = list(corpus(SPANS))
    one = Pass([ALWAYS], "fixed")
    for _ in range(2):
        assert one.cost_ns([records]) > 0
        assert one.decided == len({record.key for record in records})


def test_the_table_has_every_policy_with_both_modes() -> None:
    found = measure_policies(SPANS, seed=2, rounds=1, console=Console(quiet=True))
    assert set(found["more_us_a_trace"]) == set(POLICIES)
    assert all(set(costs) == set(MODES) for costs in found["more_us_a_trace"].values())
    lines = table(found).splitlines()
    assert sum(line.startswith("| ") for line in lines) == len(POLICIES) + 3
