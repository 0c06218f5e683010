"""Why a trace was kept or dropped, in words."""

from dataclasses import replace
from typing import Any

import pytest

from stream.explain import Recorded, as_json, explained, late_line, recorded
from stream.sampling.decision import Trigger, Verdict, encode
from stream.settings.load import checked
from stream.settings.model import Settings
from stream.testing.decisions import a_decision

POLICIES = [
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {
        "name": "both",
        "type": "and",
        "and": {
            "and_sub_policy": [
                {"name": "slow", "type": "latency", "latency": {"threshold_ms": 100}},
                {"type": "span_count", "span_count": {"min_spans": 10}},
            ]
        },
    },
    {"name": "new", "type": "always_sample", "mode": "shadow"},
    {
        "name": "health",
        "type": "drop",
        "drop": {
            "drop_sub_policy": [
                {
                    "type": "string_attribute",
                    "string_attribute": {"key": "url.path", "values": ["/health"]},
                }
            ]
        },
    },
]
SETTINGS = Settings.model_validate({"tail_sampling": {"policies": POLICIES}})
SLOW, MANY = "trace took more than 100 ms", "trace has at least 10 spans"
DECISION = a_decision(
    spans=1200,
    errors=2,
    duration_us=1_234_500,
    time_ms=1_795_392_000_000,
    upto=9,
    offsets=[3, 5],
    ballot="n(n)sn(s-)S",
)


def a_record(config: str = "", **changed: Any) -> Recorded:
    decision = replace(DECISION, **changed)
    config = config or SETTINGS.policies_hash()
    value = encode(decision, config=config, topic_id="t", group="g")
    return recorded(value, 4, 17)


def text_of(record: Recorded) -> str:
    return "\n".join(explained(record, SETTINGS))


def test_a_kept_trace_names_the_policy_its_meaning_and_every_vote() -> None:
    lines = text_of(a_record()).splitlines()
    assert lines[0] == ("kept, because errors voted to keep it (a span has status ERROR).")
    assert "1,200 spans, 2 with an error, 1,234.5 ms" in lines[2]
    assert lines[3] == "  where    partition 4, offsets 3 to 5 of the input"
    votes = [" ".join(line.split()) for line in lines[5:]]
    assert votes == [
        "health did not drop it [dropped: url.path is /health]",
        "policy 1.1 did not vote to keep it [url.path is /health]",
        "errors voted to keep it [a span has status ERROR]",
        f"both did not vote to keep it [{SLOW} and {MANY}]",
        f"slow voted to keep it [{SLOW}]",
        f"policy 3.2 was not asked [{MANY}]",
        "new voted to keep it (shadow: it decides nothing) [every trace]",
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"verdict": Verdict.NOT_SAMPLED, "policy": ""}, "dropped, because no policy voted"),
        (
            {"verdict": Verdict.NOT_SAMPLED, "policy": "health"},
            "dropped, because health drops it (",
        ),
        (
            {
                "verdict": Verdict.NOT_SAMPLED,
                "policy": "",
                "trigger": Trigger.TRACE_BYTES_LIMIT,
                "ballot": "",
            },
            "maximum_trace_size_bytes",
        ),
        ({"complete": False}, "its root span not seen"),
        ({"threshold": 2**56 - 2**56 // 20}, "for 20.0 traces like it: 5.0000%"),
        ({"offsets": [7]}, "offset 7 of the input"),
        ({"offsets": []}, "no offsets recorded"),
        ({"ballot": "en(n-)sS"}, "failed, which is no vote"),
        ({"ballot": "i---"}, "was ignored"),
        ({"time_ms": 2**62}, "at 4611686018427387904 ms"),
        ({"duplicates": 3}, "3 duplicates"),
        ({"policy": "pin", "source": "a click"}, "kept, because a click pinned it."),
        (
            {"trigger": Trigger.PROMOTED, "source": "a click"},
            "dropped first, then kept, because a click pinned it.",
        ),
        (
            {"trigger": Trigger.PROMOTED_PARTIAL, "policy": "late_error"},
            "dropped first, then kept, because a span with an error came late.",
        ),
        (
            {"trigger": Trigger.PROMOTED, "policy": "late_slow"},
            "dropped first, then kept, because a slow span came late.",
        ),
        (
            {"verdict": Verdict.PENDING, "source": "a click", "expires_ms": 1_795_392_600_000},
            "pinned by a click, which holds for spans that come before 2026-11-23 00:10:00 UTC.",
        ),
        *(({"trigger": trigger}, "decided  2026-11-23") for trigger in Trigger),
    ],
)
def test_each_verdict_and_trigger_has_its_words(changed: dict[str, Any], words: str) -> None:
    assert words in text_of(a_record(**changed))


def test_of_a_pin_that_waits_no_spans_are_told() -> None:
    pending = a_record(verdict=Verdict.PENDING, source="a click", expires_ms=1, offsets=[])
    assert text_of(pending).splitlines()[1:] == [
        "  read     2026-11-23 00:00:00 UTC, at offset 8 of the input"
    ]
    assert as_json(pending, SETTINGS)["source"] == "a click"


def test_votes_of_other_policies_are_told_by_their_numbers_and_why() -> None:
    text = text_of(a_record(config="0badcafe"))
    assert "decided by other policies (0badcafe)" in text
    assert "[" not in text
    assert "policy 3.2  was not asked" in text
    assert text.startswith("kept, because errors voted to keep it.")


@pytest.mark.parametrize("ballot", ["", "(", "xyz"])
def test_a_record_without_votes_that_can_be_read_is_explained_all_the_same(ballot: str) -> None:
    text = text_of(a_record(ballot=ballot))
    assert text.startswith("kept, because errors")
    assert "votes" not in text


def test_late_records_are_summed_up() -> None:
    late = a_record(trigger=Trigger.LATE, spans=2, duplicates=1, ballot="")
    assert late_line([late, late]) == (
        "  late     4 spans after the verdict, kept as well (2 had been delivered before)"
    )
    dropped = a_record(verdict=Verdict.NOT_SAMPLED, spans=1)
    assert late_line([dropped]) == "  late     1 span after the verdict, dropped as well"


def test_programs_get_the_votes_as_a_tree() -> None:
    told = as_json(a_record(), SETTINGS)
    assert told["votes"][2] == {
        "policy": "both",
        "vote": "not_sampled",
        "votes": [{"policy": "slow", "vote": "sampled"}, {"policy": "policy 3.2", "vote": None}],
    }
    assert told["votes"][3] == {"policy": "new", "vote": "sampled", "shadow": True}


def test_a_composite_that_had_no_room_says_so_and_one_that_nobody_wanted_does_not() -> None:
    sub = {"name": "all", "type": "always_sample"}
    options = {"max_total_spans_per_second": 5, "composite_sub_policy": [sub]}
    policies = [{"name": "shared", "type": "composite", "composite": options}]
    settings = checked({"tail_sampling": {"policies": policies}})
    for ballot, is_full in (("n(s)", True), ("n(n)", False), ("s(s)", False)):
        record = a_record(settings.policies_hash(), ballot=ballot)
        told = "\n".join(explained(record, settings))
        assert ("shared  did not vote to keep it: the rate was used up" in told) is is_full
        assert told.count("used up") == is_full


def test_a_ballot_that_is_too_deep_to_read_is_no_reason_to_fail() -> None:
    deep = "n(" * 100_000 + "n" + ")" * 100_000
    assert "votes" not in text_of(a_record(ballot=deep))
