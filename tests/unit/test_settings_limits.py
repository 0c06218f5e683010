"""Limits in the settings: what is refused, by setting, value and remedy; and what arrives."""

from pathlib import Path

import pytest

from stream.otlp.scan import scan
from stream.sampling.decision import Vote
from stream.sampling.matcher import Matcher
from stream.settings.compiled import policies_of
from stream.settings.differences import differences
from stream.settings.errors import SettingsError
from stream.settings.load import load
from stream.settings.model import Settings
from stream.testing.spans import a_trace, traces_data

FIRST = "tail_sampling.policies[0]"
RATE, BYTES = f"{FIRST}.rate_limiting", f"{FIRST}.bytes_limiting"
SHARES = f"{FIRST}.composite"
ALL = "{name: all, type: always_sample}"
SUBS = "composite_sub_policy: [{name: a, type: always_sample}, {name: b, type: always_sample}]"
TOO_MUCH = "1000000000000001"


def a_policy(kind: str, options: str) -> str:
    return f"{{name: p, type: {kind}, {kind}: {options}}}"


def composite(*options: str, total: str = "100") -> str:
    return a_policy(
        "composite", f"{{{', '.join((f'max_total_spans_per_second: {total}', *options))}}}"
    )


def of_shares(shares: str) -> str:
    return composite(SUBS, f"rate_allocation: [{shares}]")


REFUSED = [
    ("{name: p, type: rate_limiting}", RATE, "missing", "write rate_limiting:"),
    ("{name: p, type: bytes_limiting}", BYTES, "missing", "write bytes_limiting:"),
    ("{name: p, type: composite}", SHARES, "missing", "write composite:"),
    (a_policy("rate_limiting", "{}"), f"{RATE}.spans_per_second", "missing", "its value"),
    (a_policy("bytes_limiting", "{}"), f"{BYTES}.bytes_per_second", "missing", "its value"),
    (
        a_policy("rate_limiting", "{spans_per_second: 0}"),
        f"{RATE}.spans_per_second = 0",
        "less than 1",
        "set it to 1 or more",
    ),
    (
        a_policy("rate_limiting", "{spans_per_second: -5}"),
        f"{RATE}.spans_per_second = -5",
        "less than 1",
        "set it to 1 or more",
    ),
    (
        a_policy("rate_limiting", "{spans_per_second: 2.5}"),
        f"{RATE}.spans_per_second = 2.5",
        "whole number",
        "e.g. 1000",
    ),
    (
        a_policy("rate_limiting", "{spans_per_second: '5'}"),
        f'{RATE}.spans_per_second = "5"',
        "whole number",
        "without quotes",
    ),
    (
        a_policy("rate_limiting", f"{{spans_per_second: {TOO_MUCH}}}"),
        f"{RATE}.spans_per_second = {TOO_MUCH}",
        "more than 1000000000000000",
        "or less",
    ),
    (
        a_policy("rate_limiting", "{spans_per_second: 5, burst_capacity: -1}"),
        f"{RATE}.burst_capacity = -1",
        "less than 0",
        "set it to 0 or more",
    ),
    (
        a_policy("rate_limiting", f"{{spans_per_second: 5, burst_capacity: {TOO_MUCH}}}"),
        f"{RATE}.burst_capacity = {TOO_MUCH}",
        "more than 1000000000000000",
        "or less",
    ),
    (
        a_policy("rate_limiting", "{spans_per_second: 5, burst: 9}"),
        f"{RATE}.burst = 9",
        "no such setting",
        "write one of spans_per_second, burst_capacity",
    ),
    (
        a_policy("bytes_limiting", "{bytes_per_second: 0}"),
        f"{BYTES}.bytes_per_second = 0",
        "less than 1",
        "set it to 1 or more",
    ),
    (
        a_policy("bytes_limiting", "{bytes_per_second: 1MiB}"),
        f'{BYTES}.bytes_per_second = "1MiB"',
        "whole number",
        "without quotes",
    ),
    (
        a_policy("bytes_limiting", "{bytes_per_second: 5, burst_capacity: true}"),
        f"{BYTES}.burst_capacity = true",
        "whole number",
        "e.g. 1000",
    ),
    (
        a_policy("bytes_limiting", "{bytes_per_second: 5, spans_per_second: 5}"),
        f"{BYTES}.spans_per_second = 5",
        "no such setting",
        "did you mean",
    ),
    (
        composite("composite_sub_policy: []"),
        f"{SHARES}.composite_sub_policy = []",
        "empty",
        "keeps none",
    ),
    (composite(), f"{SHARES}.composite_sub_policy", "missing", "its value"),
    (
        composite(SUBS, total="0"),
        f"{SHARES}.max_total_spans_per_second = 0",
        "less than 1",
        "1 or more",
    ),
    (
        composite("composite_sub_policy: [{name: a, type: drop, drop: {}}]"),
        f'{SHARES}.composite_sub_policy[0].type = "drop"',
        "at the top only",
        "always_sample, and",
    ),
    (
        composite("composite_sub_policy: [{name: a, type: alway_sample}]"),
        f'{SHARES}.composite_sub_policy[0].type = "alway_sample"',
        "no such type",
        "did you mean always_sample?",
    ),
    (
        composite("composite_sub_policy: [{name: a, type: latency, latency: {threshold: 5}}]"),
        f"{SHARES}.composite_sub_policy[0].latency.threshold = 5",
        "no such setting",
        "did you mean",
    ),
    (
        composite("composite_sub_policy: [{name: a, type: latency, latency: {}}]"),
        f"{SHARES}.composite_sub_policy[0].latency = {{}}",
        "has no threshold",
        "threshold_ms: 1000",
    ),
    (
        composite(f"composite_sub_policy: [{ALL}, {ALL}]", "rate_allocation: []"),
        f'{SHARES}.composite_sub_policy[0].name = "all"',
        "another sub-policy has this name",
        "a name of its own",
    ),
    (
        composite(SUBS, "policy_order: [a, c]"),
        f'{SHARES}.policy_order[1] = "c"',
        "no sub-policy of this one has this name",
        "write one of a, b",
    ),
    (
        composite(SUBS, "policy_order: [a, a]"),
        f'{SHARES}.policy_order[1] = "a"',
        "named twice",
        "name it once",
    ),
    (
        composite(SUBS, "policy_order: a"),
        f'{SHARES}.policy_order = "a"',
        "must be a list",
        "[a, b]",
    ),
    (
        of_shares("{policy: al, percent: 5}"),
        f'{SHARES}.rate_allocation[0].policy = "al"',
        "no sub-policy of this one",
        "did you mean a?",
    ),
    (
        of_shares("{policy: a, percent: 5}, {policy: a, percent: 6}"),
        f'{SHARES}.rate_allocation[1].policy = "a"',
        "named twice",
        "name it once",
    ),
    (
        of_shares("{policy: a, percent: 101}"),
        f"{SHARES}.rate_allocation[0].percent = 101",
        "more than 100",
        "100 or less",
    ),
    (
        of_shares("{policy: a, percent: -1}"),
        f"{SHARES}.rate_allocation[0].percent = -1",
        "less than 0",
        "0 or more",
    ),
    (
        of_shares("{policy: a, percent: 50%}"),
        f'{SHARES}.rate_allocation[0].percent = "50%"',
        "whole number",
        "without quotes",
    ),
    (
        of_shares("{percent: 50}"),
        f"{SHARES}.rate_allocation[0].policy",
        "missing",
        "write policy:",
    ),
    (
        of_shares("{policy: '', percent: 50}"),
        f'{SHARES}.rate_allocation[0].policy = ""',
        "empty",
        "write a name",
    ),
    (
        of_shares("{policy: a, percentage: 50}"),
        f"{SHARES}.rate_allocation[0].percentage = 50",
        "no such setting",
        "did you mean",
    ),
    (of_shares("a"), f'{SHARES}.rate_allocation[0] = "a"', "must be a map", "name: value"),
    (
        composite(SUBS, "rate_allocation: [{policy: a, percent: 1}]", total="99"),
        f'{SHARES}.composite_sub_policy[0] = {{"name": "a"}}',
        "share of 99 spans a second is below one",
        "raise its percent in rate_allocation, or",
    ),
    (
        composite(SUBS, total="1"),
        f"{SHARES}.composite_sub_policy[",
        "share of 1 spans a second is below one",
        "max_total_spans_per_second",
    ),
    (
        composite(f"composite_sub_policy: [{composite(SUBS, 'policy_order: [x]')}]"),
        f'{SHARES}.composite_sub_policy[0].composite.policy_order[0] = "x"',
        "no sub-policy",
        "a, b",
    ),
]


def loaded(policy: str, directory: Path) -> Settings:
    path = directory / "t.yaml"
    path.write_text(f"tail_sampling: {{policies: [{policy}]}}")
    return load(path, [], {})


@pytest.mark.parametrize(("policy", "setting", "wrong", "remedy"), REFUSED)
def test_a_wrong_limit_is_answered_with_setting_value_and_remedy(
    policy: str, setting: str, wrong: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as error:
        loaded(policy, tmp_path)
    line = str(error.value).splitlines()[0].replace(f"{FIRST} (p)", FIRST)
    line = line.removeprefix(f"{tmp_path}/")
    assert line.startswith(setting)
    said, _, to_do = line.removeprefix(setting).partition("; ")
    assert wrong in said
    assert remedy in to_do


def votes(policy: str, spans: list[int], directory: Path) -> list[bool]:
    """Whether traces of so many spans are kept, one after another, at one time."""
    policies = policies_of(loaded(policy, directory).tail_sampling, Matcher())
    judged = []
    for number, count in enumerate(spans, start=1):
        body = traces_data(a_trace(number, spans=count))
        (fragment,) = scan(body, Matcher().plan()).fragments
        judgement = policies.judge(fragment, body_bytes=len(fragment.body), due_ms=1_000)
        judged.append(judgement.votes[0][1] is Vote.SAMPLED)
    return judged


@pytest.mark.parametrize(
    ("policy", "spans", "kept"),
    [
        (a_policy("rate_limiting", "{spans_per_second: 3}"), [7, 6, 1], [False, True, False]),
        (
            a_policy("rate_limiting", "{spans_per_second: 3, burst_capacity: 2}"),
            [3, 2, 1],
            [False, True, False],
        ),
        (
            a_policy("bytes_limiting", "{bytes_per_second: 1, burst_capacity: 400}"),
            [9, 2, 2, 2],
            [False, True, True, False],
        ),
        (of_shares("{policy: b, percent: 0}"), [51, 50, 50, 1], [False, True, True, False]),
        (of_shares("{policy: a, percent: 30}"), [50, 31, 30, 1], [True, False, True, False]),
        (
            composite(SUBS, "policy_order: [b]", "rate_allocation: [{policy: b, percent: 9}]"),
            [9, 50, 1],
            [True, True, False],
        ),
    ],
)
def test_a_limits_options_arrive(
    policy: str, spans: list[int], kept: list[bool], tmp_path: Path
) -> None:
    assert votes(policy, spans, tmp_path) == kept


def test_sub_policies_are_asked_in_the_policy_order_and_the_others_after_it(tmp_path: Path) -> None:
    three = ", ".join(f"{{name: {name}, type: always_sample}}" for name in "abc")
    subs = f"composite_sub_policy: [{three}]"
    percents = "rate_allocation: [{policy: c, percent: 10}, {policy: a, percent: 0}]"
    (policy,) = loaded(
        composite(subs, "policy_order: [c]", percents), tmp_path
    ).tail_sampling.policies
    assert policy.type == "composite"
    assert policy.composite.order() == (2, 0, 1)
    assert policy.composite.rates() == (33, 33, 10)
    assert policy.composite.collector_rates() == (33, 0, 10)


def test_the_start_says_how_limits_differ_from_the_collectors(tmp_path: Path) -> None:
    inside = a_policy("rate_limiting", "{spans_per_second: 3}").replace("name: p", "name: q")
    settings = loaded(composite(f"composite_sub_policy: [{inside}]", "policy_order: [q]"), tmp_path)
    starts = [
        f"{SHARES}: for all workers together",
        f"{SHARES}.composite_sub_policy[0].rate_limiting: for all workers together",
    ]
    notes = [*settings.tail_sampling.notes()]
    assert [note[: len(start)] for note, start in zip(notes, starts, strict=True)] == starts
    told = [*differences(settings.tail_sampling, as_collector=False)]
    options = ("policy_order", "composite_sub_policy", "rate_allocation")
    assert [line.split(" ")[0] for line in told] == [f"{SHARES}.{option}" for option in options]


def test_compatibility_collector_shares_as_the_collector_does(tmp_path: Path) -> None:
    options = SUBS, "policy_order: [b]", "rate_allocation: [{policy: a, percent: 9}]"
    sampling = loaded(composite(*options), tmp_path).tail_sampling
    # Fixed: first b, with 50, then a, with 9. As the Collector: a alone, b has nothing.
    for as_collector, kept in ((False, [50, 9]), (True, [9])):
        policies = policies_of(sampling, Matcher(), as_collector=as_collector)
        passed = []
        for spans in (50, 9, 1):
            (fragment,) = scan(traces_data(a_trace(1, spans=spans)), Matcher().plan()).fragments
            passed += [spans] * bool(policies.judge(fragment).policy)
        assert passed == kept


@pytest.mark.parametrize("kind", ["rate_limiting", "bytes_limiting", "composite"])
def test_a_limit_cannot_be_asked_at_each_ingest(kind: str, tmp_path: Path) -> None:
    options = {
        "rate_limiting": "{spans_per_second: 3}",
        "bytes_limiting": "{bytes_per_second: 3}",
        "composite": f"{{max_total_spans_per_second: 9, {SUBS}}}",
    }
    path = tmp_path / "t.yaml"
    policy = a_policy(kind, options[kind])
    path.write_text(f"tail_sampling: {{sampling_strategy: span-ingest, policies: [{policy}]}}")
    with pytest.raises(SettingsError) as error:
        load(path, [], {})
    assert f'.type = "{kind}"' in str(error.value)


def test_limits_say_what_they_mean(tmp_path: Path) -> None:
    for policy, meaning in (
        (a_policy("rate_limiting", "{spans_per_second: 3}"), "within 3 spans a second, 6 at once"),
        (
            a_policy("bytes_limiting", "{bytes_per_second: 3, burst_capacity: 9}"),
            "within 3 bytes a second, 9 at once",
        ),
        (
            of_shares("{policy: b, percent: 20}"),
            "within its share of 100 spans a second: every trace, or every trace",
        ),
    ):
        assert loaded(policy, tmp_path).tail_sampling.policies[0].meaning() == meaning


@pytest.mark.parametrize(
    "policy",
    [
        composite("composite_sub_policy: []", "rate_allocation: [{policy: a}]"),
        composite(SUBS, total="0"),
        composite(f"composite_sub_policy: [{ALL}, {ALL}]"),
        composite(SUBS, "policy_order: [a, c, a]"),
        of_shares("{policy: al, percent: 5}"),
        of_shares("{policy: a, percent: 5}, {policy: a, percent: 6}"),
        of_shares("{policy: a, percent: 101}"),
        composite(SUBS, "rate_allocation: [{policy: a, percent: 1}]", total="99"),
    ],
)
def test_what_is_wrong_with_a_composite_stops_no_start_where_the_collector_starts(
    policy: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="compatibility: collector takes it"):
        loaded(policy, tmp_path)
    path = tmp_path / "t.yaml"
    path.write_text(f"compatibility: collector\ntail_sampling: {{policies: [{policy}]}}")
    settings = load(path, [], {})
    assert any("of a composite are not checked" in note for note in settings.notes())
    policies = policies_of(settings.tail_sampling, Matcher(), as_collector=True)
    (fragment,) = scan(traces_data(a_trace(1, spans=200)), Matcher().plan()).fragments
    assert not policies.judge(fragment).policy
