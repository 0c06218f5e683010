"""Leaf conditions on spans, a bit each: what the scanner looks for, and what policies ask of it.

Policies register the conditions they need once, at start; the scanner sets the bits of those that
some span of a fragment matches; a policy then decides on its mask, without seeing a span.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from stream.otlp.attributes import AttributeTests
from stream.otlp.scan import ScanPlan
from stream.otlp.span import STATUS_ERROR, STATUS_UNSET
from stream.otlp.value_tests import Is, OneOf, ValueTest, Within
from stream.sampling.collector_reading import (
    AsCollector,
    ReadAsBoolean,
    ReadAsNumber,
    ReadAsString,
    ReadAsUnset,
    UnsetTest,
    read_attribute,
)
from stream.sampling.look_back import FailedFirst, FirstSampling, Incomplete, LookBack, Prefix
from stream.sampling.ottl.compile import compile_condition
from stream.sampling.ottl.conditions import Conditions, ErrorMode
from stream.sampling.regex import AnyRegex
from stream.sampling.span_tests import (
    SamplingTest,
    SpanTest,
    SpanTests,
    TraceFlagTest,
    TraceStateTest,
)


@dataclass(frozen=True, slots=True)
class StatusIs:
    """Some span has this status code: 0 unset, 1 ok, 2 error (OTLP `Status.StatusCode`)."""

    code: int

    def __post_init__(self) -> None:
        assert STATUS_UNSET <= self.code <= STATUS_ERROR, self.code


@dataclass(frozen=True, slots=True)
class StringIs:
    """Some span or resource has a string attribute of this key that is one of the values.

    With `regex` the values are RE2 expressions, and the attribute is to match one of them
    somewhere. An empty string is a value as any other; a value that is no string never matches.
    """

    key: str
    values: frozenset[str]
    regex: bool = False


@dataclass(frozen=True, slots=True)
class NumberWithin:
    """Some span or resource has an int or double attribute of this key within the bounds.

    Both bounds are inclusive, None is no bound. Ints and doubles compare by value; NaN is within
    no bounds.
    """

    key: str
    min_value: int | None
    max_value: int | None

    def __post_init__(self) -> None:
        assert self.min_value is not None or self.max_value is not None, self.key


@dataclass(frozen=True, slots=True)
class BooleanIs:
    """Some span or resource has a boolean attribute of this key with this value."""

    key: str
    value: bool


AttributeIs: TypeAlias = StringIs | NumberWithin | BooleanIs
"""A condition on an attribute."""


@dataclass(frozen=True, slots=True)
class SpanMeets:
    """Some span meets one of these OTTL conditions, or some span event one of the others."""

    span: tuple[str, ...]
    spanevent: tuple[str, ...]
    error_mode: ErrorMode


@dataclass(frozen=True, slots=True)
class SpanFails:
    """A condition of these failed for some span, and its error mode is not silent."""

    conditions: SpanMeets


@dataclass(frozen=True, slots=True)
class TraceStateIs:
    """Some span has a tracestate of which the member with this key is one of the values."""

    key: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class SampledFlagIsSet:
    """Some span has the sampled flag of W3C's trace flags."""


@dataclass(frozen=True, slots=True)
class SamplingIsTold:
    """Some span's tracestate tells of sampling before: `ot=th`, `ot=rv`."""


@dataclass(frozen=True, slots=True)
class RandomnessIs:
    """Some span has an explicit randomness `ot=rv` of at least this; 0: it has one."""

    at_least: int


@dataclass(frozen=True, slots=True)
class PrefixTook:
    """A prefix of the trace's spans took longer than this, at most that; 0: no upper bound."""

    threshold_ms: int
    upper_threshold_ms: int


@dataclass(frozen=True, slots=True)
class FirstSamplingIs:
    """The first `ot=rv` of the trace's spans is at least this; None: a span tells of sampling.

    As the Collector reads it.
    """

    at_least: int | None


@dataclass(frozen=True, slots=True)
class SpanFailsFirst:
    """One of these failed for a span before one was met."""

    conditions: SpanMeets


@dataclass(frozen=True, slots=True)
class TraceIsIncomplete:
    """The trace has no root span, or the parent of a span was not received."""


OfTraces: TypeAlias = PrefixTook | FirstSamplingIs | SpanFailsFirst | TraceIsIncomplete
"""A condition on the whole trace, which is looked at when it is cut (`look_back.py`)."""

OfSpans: TypeAlias = (
    SpanMeets
    | TraceStateIs
    | SampledFlagIsSet
    | SamplingIsTold
    | RandomnessIs
    | AsCollector
    | ReadAsUnset
)
"""A condition that looks into whole spans."""

Condition: TypeAlias = StatusIs | AttributeIs | OfSpans | SpanFails | OfTraces
"""Every kind of leaf condition: a union that grows with the scanner."""


class Matcher:
    """Gives each distinct condition one bit, and compiles them all to a scan plan."""

    def __init__(self) -> None:
        self._bits: dict[Condition, int] = {}

    def mask(self, condition: Condition) -> int:
        """Register a condition and return its mask, one bit. Equal conditions share their bit."""
        return 1 << self._bits.setdefault(condition, len(self._bits))

    def plan(self) -> ScanPlan:
        """Compile what was registered so far. Call it when every policy has been built.

        Raises:
            BadRegex: a value of a `StringIs` with `regex` is no RE2 expression.
            BadCondition: a text of a `SpanMeets` is no OTTL condition that is supported.
        """
        status_bits = [0, 0, 0]
        span_tests: list[SpanTest] = []
        tests: list[tuple[str, int, ValueTest]] = []
        for condition, bit in self._bits.items():
            if isinstance(condition, StatusIs):
                status_bits[condition.code] |= 1 << bit
            elif isinstance(condition, OfSpans):
                span_tests.append(self._span_test(condition))
            elif isinstance(condition, AttributeIs):
                tests.append((condition.key, 1 << bit, _test(condition)))
        unset, ok, error = status_bits
        return ScanPlan(
            (unset, ok, error),
            AttributeTests(tests) if tests else None,
            SpanTests(tuple(span_tests)) if span_tests else None,
        )

    def look_back(self, root_condition: str = "") -> LookBack | None:
        """Compile what is asked of whole traces; None if nothing is.

        `root_condition` tells which spans are root spans; empty: those without a parent.
        """
        prefixes: list[Prefix] = []
        firsts: list[FailedFirst] = []
        samplings: list[FirstSampling] = []
        incomplete = None
        for condition, bit in self._bits.items():
            match condition:
                case PrefixTook(threshold_ms=above, upper_threshold_ms=upto):
                    prefixes.append(Prefix(1 << bit, above, upto))
                case FirstSamplingIs(at_least=at_least):
                    samplings.append(FirstSampling(1 << bit, at_least))
                case SpanFailsFirst(conditions=conditions):
                    asked = self._conditions(conditions)
                    both = self.mask(conditions) | self.mask(SpanFails(conditions))
                    firsts.append(FailedFirst(1 << bit, both, asked))
                case TraceIsIncomplete():
                    is_root = compile_condition(root_condition, "span") if root_condition else None
                    incomplete = Incomplete(1 << bit, is_root)
        if not (prefixes or firsts or samplings or incomplete):
            return None
        return LookBack(tuple(prefixes), tuple(firsts), tuple(samplings), incomplete)

    def _span_test(self, condition: OfSpans) -> SpanTest:  # noqa: PLR0911 - one a condition
        met = 1 << self._bits[condition]
        match condition:
            case TraceStateIs(key=key, values=values):
                return TraceStateTest(met, key.encode(), frozenset(map(str.encode, values)))
            case SampledFlagIsSet():
                return TraceFlagTest(met)
            case SamplingIsTold():
                return SamplingTest(met, None)
            case RandomnessIs(at_least=at_least):
                return SamplingTest(met, at_least)
            case ReadAsUnset():
                return UnsetTest(met)
            case ReadAsNumber() | ReadAsBoolean() | ReadAsString():
                return read_attribute(condition, met, _search(condition))
            case SpanMeets():
                return self._conditions(condition)

    def _conditions(self, condition: SpanMeets) -> Conditions:
        met = 1 << self._bits[condition]
        fails = self._bits.get(SpanFails(condition))
        failed = 0 if fails is None else 1 << fails
        span, spanevent, mode = condition.span, condition.spanevent, condition.error_mode
        return Conditions(span, spanevent, mode, met=met, failed=failed)


def _search(condition: AsCollector) -> Callable[[bytes], bool]:
    match condition:
        case ReadAsString(values=values, regex=True):
            return AnyRegex(sorted(values))
        case ReadAsString(values=values):
            return frozenset(value.encode() for value in values if value).__contains__
        case _:
            return bool


def _test(condition: AttributeIs) -> ValueTest:
    match condition:
        case StringIs(values=values, regex=True):
            return AnyRegex(sorted(values))
        case StringIs(values=values):
            return OneOf(frozenset(value.encode() for value in values))
        case BooleanIs(value=wanted):
            return Is(wanted)
        case NumberWithin(min_value=low, max_value=high):
            return Within(low, high)
