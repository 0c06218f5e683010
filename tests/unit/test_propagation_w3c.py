"""W3C trace context, levels 1 and 2, rule by rule, over HTTP's headers and Kafka's.

Rules: https://www.w3.org/TR/trace-context-2/; the rows up to "beyond the official suite" are those
of the suite in https://github.com/w3c/trace-context (its test names in brackets).
"""

from dataclasses import dataclass
from typing import Any

import pytest
from multidict import CIMultiDict
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from stream.propagation import HeadersGetter, TraceContextPropagator, extract, inject
from stream.propagation.headers import AppendingSetter

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"

LETTERS = "abcdefghijklmnopqrstuvwxyz"
KEY = f"{LETTERS}0123456789_-*/"
VALUE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")

FIRST_ONE = "takes the first of the two"
LEVEL_1 = "knows the keys of level 1 only, and drops the whole list"
DUPLICATE_KEY = "drops the whole list"
FLAGS = "passes the unknown flags on"


@dataclass(frozen=True)
class Row:
    """What came, and what goes on to the next hop; without a traceparent a new trace begins."""

    rule: str
    traceparent: str | bytes | None = GOOD
    tracestate: str | bytes | None = None
    more: tuple[tuple[str, str], ...] = ()
    passed_on: str | None = GOOD
    state: str = ""
    opentelemetry: str = ""
    """How opentelemetry-python's own propagator differs; empty: it does the same."""

    @property
    def headers(self) -> list[tuple[str, str | bytes]]:
        ours = (("traceparent", self.traceparent), ("tracestate", self.tracestate))
        return [(name, value) for name, value in ours if value is not None] + list(self.more)

    @property
    def expected(self) -> dict[str, str]:
        ours = {"traceparent": self.passed_on, "tracestate": self.state}
        return {name: value for name, value in ours.items() if value}


def new_trace(rule: str, traceparent: str | bytes, opentelemetry: str = "") -> Row:
    return Row(rule, traceparent, "foo=1", passed_on=None, opentelemetry=opentelemetry)


def kept(rule: str, traceparent: str, flags: str = "01", opentelemetry: str = "") -> Row:
    goes_on = f"00-{TRACE}-{PARENT}-{flags}"
    return Row(rule, traceparent, passed_on=goes_on, opentelemetry=opentelemetry)


def named(rule: str, name: str, passed_on: str | None) -> Row:
    return Row(rule, None, more=((name, GOOD),), passed_on=passed_on)


def stated(rule: str, *values: str, state: str = "", opentelemetry: str = "") -> Row:
    more = tuple(("tracestate", value) for value in values)
    return Row(rule, GOOD, more=more, state=state, opentelemetry=opentelemetry)


def bars(first: int, last: int) -> str:
    return ",".join(f"bar{number:02}={number:02}" for number in range(first, last + 1))


TRACEPARENT_ROWS = [
    Row("[both_traceparent_and_tracestate_missing]", None, passed_on=None),
    Row("[traceparent_included_tracestate_missing]"),
    Row(
        "[traceparent_duplicated] two that differ are neither",
        more=(("traceparent", f"00-{TRACE[::-1]}-{PARENT}-01"),),
        passed_on=None,
        opentelemetry=FIRST_ONE,
    ),
    named("[traceparent_header_name] trace-parent", "trace-parent", None),
    named("[traceparent_header_name] trace.parent", "trace.parent", None),
    named("[traceparent_header_name_valid_casing] TraceParent", "TraceParent", GOOD),
    named("[traceparent_header_name_valid_casing] TrAcEpArEnT", "TrAcEpArEnT", GOOD),
    named("[traceparent_header_name_valid_casing] TRACEPARENT", "TRACEPARENT", GOOD),
    new_trace("[traceparent_version_0x00] a dot after it", f"{GOOD}."),
    new_trace("[traceparent_version_0x00] a dash and more after it", f"{GOOD}-what-the-future"),
    kept("[traceparent_version_0xcc] as long as version 00", f"cc{GOOD[2:]}"),
    kept("[traceparent_version_0xcc] a dash and more after it", f"cc{GOOD[2:]}-what-the-future"),
    new_trace("[traceparent_version_0xcc] a dot after it", f"cc{GOOD[2:]}.what-the-future"),
    new_trace("[traceparent_version_0xff]", f"ff{GOOD[2:]}"),
    new_trace("[traceparent_version_illegal_characters] first", f".0{GOOD[2:]}"),
    new_trace("[traceparent_version_illegal_characters] second", f"0.{GOOD[2:]}"),
    new_trace("[traceparent_version_too_long] three digits", f"0{GOOD}"),
    new_trace("[traceparent_version_too_long] four digits", f"00{GOOD}"),
    new_trace("[traceparent_version_too_short]", GOOD[1:]),
    new_trace("[traceparent_trace_id_all_zero]", f"00-{'0' * 32}-{PARENT}-01"),
    new_trace("[traceparent_trace_id_illegal_characters] first", f"00-.{TRACE[1:]}-{PARENT}-01"),
    new_trace("[traceparent_trace_id_illegal_characters] last", f"00-{TRACE[:-1]}.-{PARENT}-01"),
    new_trace("[traceparent_trace_id_too_long]", f"00-{TRACE}3-{PARENT}-01"),
    new_trace("[traceparent_trace_id_too_short]", f"00-{TRACE[:-1]}-{PARENT}-01"),
    new_trace("[traceparent_parent_id_all_zero]", f"00-{TRACE}-{'0' * 16}-01"),
    new_trace("[traceparent_parent_id_illegal_characters] first", f"00-{TRACE}-.{PARENT[1:]}-01"),
    new_trace("[traceparent_parent_id_illegal_characters] last", f"00-{TRACE}-{PARENT[:-1]}.-01"),
    new_trace("[traceparent_parent_id_too_long]", f"00-{TRACE}-{PARENT}7-01"),
    new_trace("[traceparent_parent_id_too_short]", f"00-{TRACE}-{PARENT[:-1]}-01"),
    new_trace("[traceparent_trace_flags_illegal_characters] first", f"{GOOD[:-2]}.0"),
    new_trace("[traceparent_trace_flags_illegal_characters] second", f"{GOOD[:-2]}0."),
    new_trace("[traceparent_trace_flags_too_long]", f"{GOOD[:-2]}001"),
    new_trace("[traceparent_trace_flags_too_short]", GOOD[:-1]),
    kept("[traceparent_ows_handling] a space before", f" {GOOD}"),
    kept("[traceparent_ows_handling] a tab before", f"\t{GOOD}"),
    kept("[traceparent_ows_handling] a space after", f"{GOOD} "),
    kept("[traceparent_ows_handling] a tab after", f"{GOOD}\t"),
    kept("[traceparent_ows_handling] both on both sides", f"\t {GOOD} \t"),
    kept("[propagates_random_flag]", f"{GOOD[:-2]}02", "02"),
]

TRACESTATE_ROWS = [
    Row("[tracestate_included_traceparent_missing]", None, "foo=1", passed_on=None),
    Row("[tracestate_included_traceparent_included]", GOOD, "foo=1,bar=2", state="foo=1,bar=2"),
    Row("[tracestate_header_name] trace-state", more=(("trace-state", "foo=1"),)),
    Row("[tracestate_header_name] trace.state", more=(("trace.state", "foo=1"),)),
    *(
        Row(f"[tracestate_header_name_valid_casing] {name}", more=((name, "foo=1"),), state="foo=1")
        for name in ("TraceState", "TrAcEsTaTe", "TRACESTATE")
    ),
    stated("[tracestate_empty_header] alone", ""),
    stated("[tracestate_empty_header] after another", "foo=1", "", state="foo=1"),
    stated("[tracestate_empty_header] before another", "", "foo=1", state="foo=1"),
    stated(
        "[tracestate_multiple_headers_different_keys] joined in order",
        *("foo=1,bar=2", "rojo=1,congo=2", "baz=3"),
        state="foo=1,bar=2,rojo=1,congo=2,baz=3",
    ),
    *(
        stated(
            f"[tracestate_duplicated_keys] {rule}",
            *values,
            state=",".join(values),
            opentelemetry=DUPLICATE_KEY,
        )
        for rule, values in {
            "one value": ["foo=1,foo=1"],
            "two values": ["foo=1,foo=2"],
            "one value in two headers": ["foo=1", "foo=1"],
            "two values in two headers": ["foo=1", "foo=2"],
        }.items()
    ),
    stated("[tracestate_all_allowed_characters]", f"{KEY}={VALUE}", state=f"{KEY}={VALUE}"),
    stated(
        "[tracestate_all_allowed_characters] with an @",
        f"{KEY}@a-z0-9_-*/={VALUE}",
        state=f"{KEY}@a-z0-9_-*/={VALUE}",
    ),
    stated(
        "[tracestate_ows_handling] around commas",
        "foo=1 \t , \t bar=2, \t baz=3",
        state="foo=1,bar=2,baz=3",
    ),
    stated("[tracestate_ows_handling] tabs", "foo=1\t \t,\t \tbar=2", state="foo=1,bar=2"),
    *(
        stated(f"[tracestate_ows_handling] {value!r}", value, state="foo=1")
        for value in (" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t")
    ),
    stated("[tracestate_key_illegal_characters] a space", "foo =1"),
    stated("[tracestate_key_illegal_characters] capitals", "FOO=1"),
    stated("[tracestate_key_illegal_characters] a dot", "foo.bar=1"),
    stated("[tracestate_key_illegal_vendor_format] an @ before", "@foo=1,bar=2"),
    *(
        stated(
            f"[tracestate_key_illegal_vendor_format] {key} is a key of level 2",
            f"{key}=1,bar=2",
            state=f"{key}=1,bar=2",
            opentelemetry=LEVEL_1,
        )
        for key in ("foo@", "foo@@bar", "foo@bar@baz")
    ),
    stated(
        "[tracestate_member_count_limit] 32",
        *(bars(1, 10), bars(11, 20), bars(21, 30), bars(31, 32)),
        state=bars(1, 32),
    ),
    stated(
        "[tracestate_member_count_limit] 33",
        *(bars(1, 10), bars(11, 20), bars(21, 30), bars(31, 33)),
    ),
    stated(
        "[tracestate_key_length_limit] 256", "foo=1", f"{'z' * 256}=1", state=f"foo=1,{'z' * 256}=1"
    ),
    stated("[tracestate_key_length_limit] 257", "foo=1", f"{'z' * 257}=1"),
    stated(
        "[tracestate_key_length_limit] 241 before the @, 14 after",
        *("foo=1", f"{'t' * 241}@{'v' * 14}=1"),
        state=f"foo=1,{'t' * 241}@{'v' * 14}=1",
    ),
    stated(
        "[tracestate_key_length_limit] 242 before the @",
        *("foo=1", f"{'t' * 242}@v=1"),
        state=f"foo=1,{'t' * 242}@v=1",
        opentelemetry=LEVEL_1,
    ),
    stated(
        "[tracestate_key_length_limit] 15 after the @",
        *("foo=1", f"t@{'v' * 15}=1"),
        state=f"foo=1,t@{'v' * 15}=1",
        opentelemetry=LEVEL_1,
    ),
    stated("[tracestate_value_illegal_characters] an equals sign", "foo=bar=baz"),
    stated("[tracestate_value_illegal_characters] empty", "foo=,bar=3"),
]

BEYOND_THE_OFFICIAL_SUITE = [
    Row(
        "two equal traceparents are neither",
        more=(("traceparent", GOOD),),
        passed_on=None,
        opentelemetry=FIRST_ONE,
    ),
    Row(
        "two traceparents in different case are two",
        more=(("Traceparent", GOOD),),
        passed_on=None,
        opentelemetry=FIRST_ONE,
    ),
    Row(
        "a good traceparent and a broken one are neither",
        more=(("traceparent", "broken"),),
        passed_on=None,
        opentelemetry=FIRST_ONE,
    ),
    Row(
        "a broken traceparent and a good one are neither",
        "broken",
        more=(("traceparent", GOOD),),
        passed_on=None,
    ),
    kept("an unsampled trace goes on unsampled", f"{GOOD[:-2]}00", "00"),
    kept("sampled and random", f"{GOOD[:-2]}03", "03"),
    kept("an unknown flag is zeroed", f"{GOOD[:-2]}04", "00", FLAGS),
    kept("all flags set: the known ones go on", f"{GOOD[:-2]}ff", "03", FLAGS),
    kept("sampled is a bit, not a number", f"{GOOD[:-2]}09", "01", FLAGS),
    kept("flags of a version to come", f"cc{GOOD[2:-2]}fb", "03", FLAGS),
    kept("version 01", f"01{GOOD[2:]}"),
    kept("version fe", f"fe{GOOD[2:]}"),
    kept("a version to come that ends in a dash", f"cc{GOOD[2:]}-"),
    kept(
        "a version to come may be long",
        f"cc{GOOD[2:]}-{'x' * 1_000}",
        opentelemetry="takes no more than 512 characters",
    ),
    new_trace("a version to come that is too short", f"cc{GOOD[2:-1]}"),
    new_trace("version 00 that ends in a dash", f"{GOOD}-"),
    new_trace("a version in capitals", f"CC{GOOD[2:]}"),
    new_trace("a trace id in capitals", f"00-{TRACE.upper()}-{PARENT}-01"),
    new_trace("a parent id in capitals", f"00-{TRACE}-{PARENT.upper()}-01"),
    new_trace("flags in capitals", f"{GOOD[:-2]}0A"),
    new_trace("an empty traceparent", ""),
    new_trace("a traceparent of blanks", " \t "),
    new_trace("a line feed is no blank", f"{GOOD}\n", "takes it for the end of the line"),
    new_trace("a blank inside", f"00 -{GOOD[3:]}"),
    new_trace("digits that are not ASCII's", GOOD.replace("4", "\N{FULLWIDTH DIGIT FOUR}")),
    new_trace("bytes that are no text", b"\xff\xfe" + GOOD.encode()),
    new_trace("a null byte after it", f"{GOOD}\0"),
    new_trace("two in one header, as a proxy joins them", f"{GOOD},{GOOD}"),
    stated("a key of level 2 may begin with a digit", "0a=1", state="0a=1", opentelemetry=LEVEL_1),
    stated("a leading blank belongs to the value", "foo=  1,bar=2", state="foo=  1,bar=2"),
    stated("a trailing blank does not", "foo=1  ,bar=2", state="foo=1,bar=2"),
    stated("empty members go", ",foo=1,, ,bar=2,", state="foo=1,bar=2"),
    stated("empty members do not count", "," * 40 + bars(1, 32), state=bars(1, 32)),
    stated("a value of 256 characters", f"foo={'v' * 256}", state=f"foo={'v' * 256}"),
    stated("a value of 257", f"bar=1,foo={'v' * 257}"),
    stated("a member without a value", "bar=1,foo"),
    stated("a member without a key", "bar=1,=1"),
    stated("a tab inside a value", "bar=1,foo=a\tb"),
    stated("a value that is not ASCII", "bar=1,foo=\N{EURO SIGN}"),
    stated("a control character", "bar=1,foo=\x7f"),
    Row("bytes that are no text cost the tracestate alone", GOOD, b"bar=1,foo=\xff"),
    stated(
        "a list of 8159 characters goes on whole",
        ",".join(f"k{number}={'v' * 250}" for number in range(10, 42)),
        state=",".join(f"k{number}={'v' * 250}" for number in range(10, 42)),
    ),
    stated(
        "a list of over 8192 characters loses whole entries, from the right",
        ",".join(f"k{number}={'v' * 256}" for number in range(10, 42)),
        state=",".join(f"k{number}={'v' * 256}" for number in range(10, 41)),
        opentelemetry="drops the whole list",
    ),
]

ROWS = [*TRACEPARENT_ROWS, *TRACESTATE_ROWS, *BEYOND_THE_OFFICIAL_SUITE]

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.rule)
each_carrier = pytest.mark.parametrize("over", ["http", "kafka"])


@each_carrier
@each_row
def test_who_adds_no_span_passes_the_context_on_as_w3c_demands(row: Row, over: str) -> None:
    assert sent_on(TraceContextPropagator(), carrier(row, over)) == row.expected
    assert text_of(inject((), extract(carrier(row, over)))) == row.expected


@each_carrier
@each_row
def test_a_service_takes_part_in_the_trace_it_was_given_or_begins_one(row: Row, over: str) -> None:
    tracer = TracerProvider().get_tracer("a service")
    span = tracer.start_span("its own", extract(carrier(row, over)))
    sent = text_of(inject((), trace.set_span_in_context(span)))

    _, trace_id, parent_id, flags = sent["traceparent"].split("-")
    assert (trace_id == TRACE) == (row.passed_on is not None)
    assert parent_id not in {PARENT, "0" * 16}
    assert sent.get("tracestate", "") == row.state
    if row.passed_on is None:
        assert int(flags, 16) & 1, "its own sampler keeps all"
    else:
        assert flags == row.passed_on[-2:]


@each_row
def test_the_table_says_where_opentelemetry_python_differs(row: Row) -> None:
    theirs = sent_on(TraceContextTextMapPropagator(), carrier(row, "kafka"))

    assert (theirs != row.expected) == bool(row.opentelemetry)


def test_no_row_stands_there_twice() -> None:
    assert len({row.rule for row in ROWS}) == len(ROWS)


def carrier(row: Row, over: str) -> Any:
    """Return the headers as aiohttp's server gives them, or as the Kafka clients do."""
    if over == "kafka":
        return [
            (name, value.encode() if isinstance(value, str) else value)
            for name, value in row.headers
        ]
    return CIMultiDict(
        (name, value if isinstance(value, str) else value.decode(errors="surrogateescape"))
        for name, value in row.headers
    )


def sent_on(propagator: Any, headers: Any) -> dict[str, str]:
    sent: list[tuple[str, bytes | None]] = []
    context = propagator.extract(headers, getter=HeadersGetter())
    propagator.inject(sent, context, setter=AppendingSetter())
    return text_of(sent)


def text_of(headers: list[tuple[str, bytes | None]]) -> dict[str, str]:
    assert len(dict(headers)) == len(headers)
    return {name: (value or b"").decode() for name, value in headers}
