"""From a record to the bits of the policies' conditions, and from the bits to votes."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from stream.otlp.fragment import DeadLetterReason, Fragment
from stream.otlp.scan import scan
from stream.otlp.wire import LENGTH, framed
from stream.sampling.decision import Verdict, Vote
from stream.sampling.matcher import Matcher, SpanMeets
from stream.sampling.ottl.conditions import ErrorMode
from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.and_ import And
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.not_ import Not
from stream.sampling.policies.ottl_condition import OttlCondition
from stream.sampling.span_tests import SpanTests
from stream.settings.compiled import policies_of
from stream.settings.errors import SettingsError
from stream.settings.load import load
from stream.testing.spans import Attribute, a_span, span_id_of, traces_data

IS_SLOW = 'span.attributes["took"] / span.attributes["of"] > 10'
PROPAGATE, IGNORE, SILENT = ErrorMode.PROPAGATE, ErrorMode.IGNORE, ErrorMode.SILENT
MATCH: Mapping[str, Attribute] = {"took": 100, "of": 2}
NO_MATCH: Mapping[str, Attribute] = {"took": 1, "of": 2}
FAILS: Mapping[str, Attribute] = {"took": 1, "of": 0}
S, N, D, E = Vote.SAMPLED, Vote.NOT_SAMPLED, Vote.DROPPED, Vote.ERROR


def policy(
    matcher: Matcher, *span: str, spanevent: tuple[str, ...] = (), mode: ErrorMode = IGNORE
) -> OttlCondition:
    return OttlCondition("p", SpanMeets(span, spanevent, mode), matcher)


def fragment(record: bytes, matcher: Matcher) -> Fragment:
    (found,) = scan(record, matcher.plan()).fragments
    return found


def vote(
    *spans: Span,
    span: tuple[str, ...] = (IS_SLOW,),
    spanevent: tuple[str, ...] = (),
    mode: ErrorMode,
) -> Vote:
    matcher = Matcher()
    judge = policy(matcher, *span, spanevent=spanevent, mode=mode)
    return judge.vote(fragment(traces_data(*spans), matcher))


def spans(*attributes: Mapping[str, Attribute]) -> list[Span]:
    return [
        a_span(span_id=span_id_of(number), attributes=each)
        for number, each in enumerate(attributes)
    ]


@pytest.mark.parametrize("mode", ErrorMode)
def test_one_span_that_meets_a_condition_keeps_the_trace(mode: ErrorMode) -> None:
    assert vote(*spans(NO_MATCH, MATCH, NO_MATCH), mode=mode) is S
    assert vote(*spans(NO_MATCH, NO_MATCH), mode=mode) is N


@pytest.mark.parametrize(
    ("mode", "failed"), [(PROPAGATE, E), (IGNORE, Vote.IGNORED_ERROR), (SILENT, N)]
)
def test_a_condition_that_fails_counts_as_its_mode_says(mode: ErrorMode, failed: Vote) -> None:
    assert vote(*spans(NO_MATCH, FAILS), mode=mode) is failed


@pytest.mark.parametrize("mode", ErrorMode)
def test_a_span_that_meets_a_condition_outweighs_one_that_fails(mode: ErrorMode) -> None:
    assert vote(*spans(FAILS, MATCH), mode=mode) is S
    assert vote(*spans(MATCH, FAILS), mode=mode) is S


@pytest.mark.parametrize(("mode", "expected"), [(PROPAGATE, E), (IGNORE, S), (SILENT, S)])
def test_of_one_span_a_failure_that_propagates_ends_the_list(
    mode: ErrorMode, expected: Vote
) -> None:
    conditions = (IS_SLOW, 'span.attributes["of"] == 0')
    assert vote(*spans(FAILS), span=conditions, mode=mode) is expected
    assert vote(*spans(FAILS), span=conditions[::-1], mode=mode) is S


def test_conditions_on_a_span_come_before_those_on_its_events() -> None:
    event = Span.Event(name="exception")
    failing = a_span(attributes=FAILS, events=[event])
    on_event = ('spanevent.name == "exception"',)
    assert vote(failing, spanevent=on_event, mode=PROPAGATE) is E
    assert vote(failing, spanevent=on_event, mode=IGNORE) is S
    assert vote(failing, span=(), spanevent=on_event, mode=PROPAGATE) is S


@pytest.mark.parametrize(("mode", "expected"), [(PROPAGATE, E), (IGNORE, S), (SILENT, S)])
def test_a_failure_on_an_event_that_propagates_ends_the_span(
    mode: ErrorMode, expected: Vote
) -> None:
    events = [Span.Event(name=name) for name in ("x", "7")]
    span = a_span(events=events)
    condition = ("Double(spanevent.name) == 7.0",)
    assert vote(span, span=(), spanevent=condition, mode=mode) is expected
    assert vote(a_span(events=events[::-1]), span=(), spanevent=condition, mode=mode) is S


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ('Duration(span.attributes["k"]) > Duration("0")', "9" * 5000 + "h"),
        ('Duration(span.attributes["k"]) > Duration("0")', "0." + "9" * 5000 + "x"),
        ('Double(span.attributes["k"]) > 0.0', "9" * 5000),
        ('ParseInt(span.attributes["k"], 10) > 0', "9" * 5000),
        ('ParseJSON(span.attributes["k"]) != nil', "[" * 100 + "]" * 100),
        ('ParseJSON(span.attributes["k"]) != nil', "[" * 100_000),
        ('ParseJSON(span.attributes["k"])[0] > 0', "[" + "9" * 5000 + "]"),
        ('IsMatch("a", span.attributes["k"])', "("),
        ('String(Unix(Int(span.attributes["k"]))) != ""', str(2**62)),
        ('IsInCIDR("10.0.0.1", [span.attributes["k"]])', "10.0.0.0/" + "9" * 5000),
    ],
)
def test_a_hostile_text_fails_its_condition_and_nothing_else(condition: str, text: str) -> None:
    assert vote(a_span(attributes={"k": text}), span=(condition,), mode=PROPAGATE) is E


def test_a_number_with_many_zeros_is_that_number() -> None:
    for text, condition in (
        ("0" * 5000 + "7", 'Int(span.attributes["k"]) == 7'),
        ("0" * 5000 + "7s", 'Duration(span.attributes["k"]) == Duration("7s")'),
    ):
        assert vote(a_span(attributes={"k": text}), span=(condition,), mode=SILENT) is S


def test_each_event_is_asked() -> None:
    events = [Span.Event(name=name) for name in ("a", "b", "c")]
    for name, expected in (("a", S), ("c", S), ("d", N)):
        condition = (f'name == "{name}" and span.name == "x"',)
        span = a_span(name="x", events=events)
        assert vote(span, span=(), spanevent=condition, mode=SILENT) is expected


def test_equal_conditions_share_their_bits_and_others_have_their_own() -> None:
    matcher = Matcher()
    kept = [
        policy(matcher, 'span.name == "a"', mode=SILENT),
        policy(matcher, 'span.name == "b"', mode=SILENT),
        policy(matcher, 'span.name == "a"', mode=SILENT),
    ]
    found = fragment(traces_data(a_span(name="a")), matcher)
    assert [each.vote(found) for each in kept] == [S, N, S]
    plan = matcher.plan()
    assert plan.conditions is not None
    assert isinstance(plan.conditions, SpanTests)
    assert len(plan.conditions.tests) == 2


def test_without_a_condition_nobody_is_asked() -> None:
    assert Matcher().plan().conditions is None


@given(st.lists(st.sampled_from([MATCH, NO_MATCH, FAILS]), min_size=1, max_size=6), st.data())
def test_how_spans_are_parted_into_records_changes_no_vote(
    attributes: list[Mapping[str, Attribute]], data: st.DataObject
) -> None:
    mode = data.draw(st.sampled_from(ErrorMode))
    cut = data.draw(st.integers(0, len(attributes)))
    matcher = Matcher()
    judge = policy(matcher, IS_SLOW, mode=mode)
    everything = spans(*attributes)
    whole = fragment(traces_data(*everything), matcher)
    parts = [each for each in (everything[cut:], everything[:cut]) if each]
    bits = 0
    for part in parts:
        bits |= fragment(traces_data(*part), matcher).bits
    whole_vote = judge.vote(whole)
    whole.bits = bits
    assert judge.vote(whole) is whole_vote


def test_an_error_is_no_vote() -> None:
    matcher = Matcher()
    errs = policy(matcher, IS_SLOW, mode=PROPAGATE)
    failing = fragment(traces_data(*spans(FAILS)), matcher)
    judged = Policies([errs, AlwaysSample("rest")]).judge(failing)
    assert (judged.verdict, judged.policy) == (Verdict.SAMPLED, "rest")
    assert judged.votes == [("p", E), ("rest", S)]
    assert Policies([errs]).judge(failing).verdict is Verdict.NOT_SAMPLED


def test_an_error_goes_through_and_not_and_drop() -> None:
    matcher = Matcher()
    errs = policy(matcher, IS_SLOW, mode=PROPAGATE)
    no = policy(matcher, "false", mode=SILENT)
    yes = AlwaysSample("yes")
    failing = fragment(traces_data(*spans(FAILS)), matcher)
    assert And("a", [yes, errs]).vote(failing) is E
    assert And("a", [no, errs]).vote(failing) is N
    assert Not("n", errs).vote(failing) is E
    assert Drop("d", [yes, errs]).vote(failing) is E
    assert Drop("d", [no, errs]).vote(failing) is N


def test_an_ignored_error_is_a_vote_against() -> None:
    matcher = Matcher()
    ignores = policy(matcher, IS_SLOW, mode=IGNORE)
    failing = fragment(traces_data(*spans(FAILS)), matcher)
    assert And("a", [ignores]).vote(failing) is N
    assert Not("n", ignores).vote(failing) is S
    assert Drop("d", [ignores]).vote(failing) is N


def test_a_key_of_an_unusual_encoding_is_found() -> None:
    matcher = Matcher()
    judge = policy(matcher, 'span.attributes["key"] == "v"', mode=SILENT)
    value = framed(2 << 3 | LENGTH, framed(1 << 3 | LENGTH, b"v"))
    for key in (b"\x0a\x03key", b"\x0a\x83\x00key", b"\x8a\x80\x00\x03key"):
        attribute = framed(9 << 3 | LENGTH, key + value)
        span = a_span().SerializeToString() + attribute
        record = framed(1 << 3 | LENGTH, framed(2 << 3 | LENGTH, framed(2 << 3 | LENGTH, span)))
        assert TracesData.FromString(record)
        assert judge.vote(fragment(record, matcher)) is S, key


def test_the_start_says_how_propagate_differs(tmp_path: Path) -> None:
    path = tmp_path / "tailstream.yaml"
    for mode, told in (("propagate", True), ("ignore", False), ("silent", False)):
        path.write_text(settings_text(f"{{error_mode: {mode}, span: ['true']}}"))
        notes = list(load(path, [], {}).notes())
        said = any("ottl_condition.error_mode (p): in the Collector" in note for note in notes)
        assert said is told


def test_a_value_that_cannot_be_read_makes_its_record_a_dead_letter() -> None:
    matcher = Matcher()
    policy(matcher, 'span.attributes["key"] != "v"', mode=IGNORE)
    attribute = framed(9 << 3 | LENGTH, b"\x0a\x03key" + framed(2 << 3 | LENGTH, b"\x0a\x09short"))
    span = a_span().SerializeToString() + attribute
    record = framed(1 << 3 | LENGTH, framed(2 << 3 | LENGTH, framed(2 << 3 | LENGTH, span)))
    scanned = scan(record, matcher.plan())
    assert [bad.reason for bad in scanned.bad] == [DeadLetterReason.MALFORMED]


def test_values_that_nest_without_end_make_a_dead_letter() -> None:
    matcher = Matcher()
    policy(matcher, 'span.attributes["key"] != "v"', mode=IGNORE)
    value = b""
    for _ in range(300):
        value = framed(5 << 3 | LENGTH, framed(1 << 3 | LENGTH, value))
    attribute = framed(9 << 3 | LENGTH, b"\x0a\x03key" + framed(2 << 3 | LENGTH, value))
    span = a_span().SerializeToString() + attribute
    record = framed(1 << 3 | LENGTH, framed(2 << 3 | LENGTH, framed(2 << 3 | LENGTH, span)))
    scanned = scan(record, matcher.plan())
    assert [bad.reason for bad in scanned.bad] == [DeadLetterReason.MALFORMED]


@given(st.binary(max_size=60))
def test_whatever_an_attribute_holds_is_read_or_malformed(noise: bytes) -> None:
    matcher = Matcher()
    policy(matcher, 'span.attributes["key"]["a"][0] == "v"', mode=IGNORE)
    attribute = framed(9 << 3 | LENGTH, b"\x0a\x03key" + framed(2 << 3 | LENGTH, noise))
    span = a_span().SerializeToString() + attribute
    record = framed(1 << 3 | LENGTH, framed(2 << 3 | LENGTH, framed(2 << 3 | LENGTH, span)))
    scanned = scan(record, matcher.plan())
    assert len(scanned.fragments) + len(scanned.bad) == 1


NO_SUCH_PATH = """\
.ottl_condition.span[1] = "span.nmae == 1": line 1, column 1: no such path: span.nmae; \
did you mean span.name?
  span.nmae == 1
  ^"""


def settings_text(conditions: str) -> str:
    return (
        "tail_sampling: {policies: [{name: p, type: ottl_condition, "
        f"ottl_condition: {conditions}}}]}}"
    )


def test_the_collectors_block_is_taken_as_pasted(tmp_path: Path) -> None:
    path = tmp_path / "tailstream.yaml"
    path.write_text(
        settings_text(
            "{error_mode: ignore, span: ['attributes[\"a\"] == 1', 'IsRootSpan()'], "
            'spanevent: [\'name != "x"\', \'attributes["b"] != "c"\']}'
        )
    )
    sampling = load(path, [], {}).tail_sampling
    matcher = Matcher()
    policies = policies_of(sampling, matcher)
    child = a_span(parent_span_id=span_id_of(9))
    assert not policies.judge(fragment(traces_data(child), matcher)).policy
    assert policies.judge(fragment(traces_data(a_span()), matcher)).policy == "p"
    child.events.add(name="y")
    assert policies.judge(fragment(traces_data(child), matcher)).policy == "p"


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ("{}", "has no condition; write span: or spanevent:"),
        ("{span: []}", "has no condition; write span: or spanevent:"),
        ("{span: ['true', 'span.nmae == 1']}", NO_SUCH_PATH),
        ("{spanevent: ['IsRootSpan()']}", ".spanevent[0] = "),
        ("{error_mode: loud, span: ['true']}", "write one of propagate, ignore, silent"),
    ],
)
def test_a_bad_condition_stops_the_start(conditions: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "tailstream.yaml"
    path.write_text(settings_text(conditions))
    with pytest.raises(SettingsError) as refused:
        load(path, [], {})
    assert said in str(refused.value)
    assert "tail_sampling.policies[0] (p)" in str(refused.value)


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "slow"),
    [
        (5, 9, True),
        (9, 5, False),
        (1 << 62, (1 << 64) - (1 << 63), False),
        (1 << 63, 1 << 62, True),
    ],
)
def test_the_time_between_two_instants_ends_where_a_duration_does(
    start_ns: int, end_ns: int, *, slow: bool
) -> None:
    # An instant from 2**63 lies before 1970, as Go reads it: no difference may wrap.
    condition = 'span.end_time - span.start_time > Duration("0s")'
    span = a_span(start_ns=start_ns, end_ns=end_ns)
    assert vote(span, span=(condition,), mode=PROPAGATE) is (S if slow else N)
