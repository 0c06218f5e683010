"""What one setting demands of another. Each check yields problems with the setting's full path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from stream.otlp.trace_state_value import trace_state_value
from stream.sampling.ottl.compile import compile_condition
from stream.sampling.ottl.errors import BadCondition
from stream.sampling.ottl.parse import parse
from stream.sampling.ottl.paths import Kind
from stream.sampling.regex import AnyRegex, BadRegex
from stream.settings.client_checks import client_checks, whole
from stream.settings.compatibility_checks import (
    collector_checks,
    fixed_checks,
    strategy_checks,
)
from stream.settings.errors import Problem
from stream.settings.policies import (
    AndPolicy,
    LatencyPolicy,
    NotPolicy,
    NumericAttributeOptions,
    NumericAttributePolicy,
    SpanCountOptions,
    SpanCountPolicy,
    StringAttributeOptions,
    StringAttributePolicy,
    flattened,
)
from stream.settings.policy_block import PolicyBlock
from stream.settings.same_span import TYPES, NotOfASpan, condition_of
from stream.settings.span_policies import (
    OttlConditionOptions,
    OttlConditionPolicy,
    TraceStateOptions,
    TraceStatePolicy,
)
from stream.settings.tail_sampling import TailSampling
from stream.settings.units import format_duration

if TYPE_CHECKING:
    from stream.settings.model import Settings

OUR_HEADERS: Final = "tailstream."
_STATIC_SESSION_S_MIN: Final = 6


def cross_checks(settings: Settings) -> Iterator[Problem]:
    """Yield everything that is wrong between settings that are each right alone."""
    yield from _sampling(settings.tail_sampling)
    yield from _size(settings)
    yield from _policies(settings.tail_sampling)
    yield from strategy_checks(settings.tail_sampling, as_collector=settings.as_collector)
    if settings.as_collector:
        yield from collector_checks(settings.tail_sampling)
    else:
        yield from fixed_checks(settings.tail_sampling)
    yield from _topics(settings)
    yield from _times(settings)
    yield from _output(settings)
    yield from _web(settings)
    yield from client_checks(settings)


def _sampling(sampling: TailSampling) -> Iterator[Problem]:
    after_root_s = sampling.decision_wait_after_root_received_s
    if after_root_s >= sampling.decision_wait_s:
        wait = format_duration(sampling.decision_wait_s)
        yield Problem(
            "tail_sampling.decision_wait_after_root_received",
            format_duration(after_root_s),
            f"not below decision_wait ({wait}), so it would never matter",
            f"set it below {wait}, or to 0s",
        )


def _size(settings: Settings) -> Iterator[Problem]:
    dropped_above = settings.tail_sampling.maximum_trace_size_bytes
    judged_at = settings.limits.trace_bytes_max
    if dropped_above >= judged_at:
        yield Problem(
            "tail_sampling.maximum_trace_size_bytes",
            dropped_above,
            f"not below limits.trace_bytes_max ({judged_at}), at which the policies judge a trace",
            "set limits.trace_bytes_max above it, or remove it",
        )


def _policies(sampling: TailSampling) -> Iterator[Problem]:
    names = Counter(policy.name for policy in sampling.policies)
    for index, policy in enumerate(sampling.policies):
        path = f"tail_sampling.policies[{index}]"
        if not policy.name.strip():
            remedy = "give the policy a name of its own"
            yield Problem(f"{path}.name", policy.name, "a policy needs a name", remedy)
        elif names[policy.name] > 1:
            wrong = f"{names[policy.name]} policies have this name"
            yield Problem(f"{path}.name", policy.name, wrong, "give each a name of its own")
        for path_below, each in flattened(path, policy):
            if each is not policy and each.is_shadow:
                remedy = "remove it here, or give the policy at the top mode: shadow"
                wrong = "a part of a policy cannot be a shadow"
                yield Problem(f"{path_below}.mode", each.mode, wrong, remedy)
            yield from _options(path_below, each)
    if all(policy.is_shadow for policy in sampling.policies):
        wrong = "every policy is a shadow, so nothing would be kept"
        remedy = "let one decide: remove its mode"
        yield Problem("tail_sampling.policies[0].mode", "shadow", wrong, remedy)


def _options(path: str, policy: PolicyBlock) -> Iterator[Problem]:
    match policy:
        case LatencyPolicy():
            yield from _latency(path, policy)
        case StringAttributePolicy():
            yield from _string(f"{path}.string_attribute", policy.string_attribute)
        case NumericAttributePolicy():
            yield from _numeric(f"{path}.numeric_attribute", policy.numeric_attribute)
        case SpanCountPolicy():
            yield from _span_count(f"{path}.span_count", policy.span_count)
        case AndPolicy() if policy.and_.same_span:
            yield from _same_span(path, policy)
        case OttlConditionPolicy():
            yield from _ottl(f"{path}.ottl_condition", policy.ottl_condition)
        case TraceStatePolicy():
            yield from _trace_state(f"{path}.trace_state", policy.trace_state)


def _same_span(path: str, policy: AndPolicy) -> Iterator[Problem]:
    alone = True
    for below, each in flattened(path, policy):
        if isinstance(each, AndPolicy | NotPolicy):
            continue  # as good as what is in it
        try:
            condition = condition_of(each)
            # What is wrong with an OTTL condition is told where it stands.
            alone = alone and (not isinstance(each, OttlConditionPolicy) or _parses(condition))
        except NotOfASpan:
            alone = False
            remedy = f"write one of {', '.join(TYPES)} (OTTL on `span` alone)"
            wrong = "no single span can meet it, and same_span asks for one"
            yield Problem(below, {"name": each.name}, wrong, remedy)
    if alone and not _parses(condition_of(policy)):
        wrong, remedy = "too much for one condition", "write several policies, or nest them less"
        yield Problem(f"{path}.and", {"same_span": True}, wrong, remedy)


def _parses(condition: str) -> bool:
    try:
        parse(condition)
    except BadCondition:
        return False
    return True


def _ottl(path: str, options: OttlConditionOptions) -> Iterator[Problem]:
    if not options.span and not options.spanevent:
        remedy = "write span: or spanevent: and its conditions"
        yield Problem(path, {"error_mode": options.error_mode}, "has no condition", remedy)
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...]
    kinds = (("span", options.span), ("spanevent", options.spanevent))
    for kind, texts in kinds:
        for index, text in enumerate(texts):
            try:
                compile_condition(text, kind)
            except BadCondition as bad:
                remedy = f"{bad.remedy}\n{bad.shown}"
                yield Problem(f"{path}.{kind}[{index}]", text, f"{bad.place}: {bad.wrong}", remedy)


def _trace_state(path: str, options: TraceStateOptions) -> Iterator[Problem]:
    key = options.key.encode()
    if trace_state_value(key + b"=x", key) != b"x":
        remedy = "write small letters, digits, `_`, `-`, `*` and `/`, e.g. rojo or tenant@system"
        yield Problem(f"{path}.key", options.key, "no key of a W3C tracestate", remedy)
        return
    for index, value in enumerate(options.values):
        if trace_state_value(key + b"=" + value.encode(), key) != value.encode() or not value:
            remedy = "write 1 to 256 printable ASCII characters without `,` and `=`, no space last"
            yield Problem(f"{path}.values[{index}]", value, "no value of a W3C tracestate", remedy)


def _string(path: str, options: StringAttributeOptions) -> Iterator[Problem]:
    if not options.enabled_regex_matching:
        return
    for index, value in enumerate(options.values):
        try:
            AnyRegex([value])
        except BadRegex as error:
            wrong = f"no regular expression: {error}"
            remedy = (
                "write it in RE2's syntax (https://github.com/google/re2/wiki/Syntax: no "
                "backreferences, no look-around), or remove enabled_regex_matching"
            )
            yield Problem(f"{path}.values[{index}]", value, wrong, remedy)


def _numeric(path: str, options: NumericAttributeOptions) -> Iterator[Problem]:
    low, high = options.bounds
    if low is None and high is None:
        given = {"key": options.key}
        remedy = "write min_value, max_value or both; 0 is a bound, too"
        yield Problem(path, given, "has no bound", remedy)


def _span_count(path: str, options: SpanCountOptions) -> Iterator[Problem]:
    if not options.model_fields_set:
        yield Problem(path, {}, "has no bound", "write span_count: {min_spans: 10}")
    if 0 < options.max_spans < options.min_spans:
        wrong = f"below min_spans ({options.min_spans}), so no trace would match"
        remedy = "set it to min_spans or more, or to 0 for no upper bound"
        yield Problem(f"{path}.max_spans", options.max_spans, wrong, remedy)


def _latency(path: str, policy: LatencyPolicy) -> Iterator[Problem]:
    lower_ms, upper_ms = policy.latency.threshold_ms, policy.latency.upper_threshold_ms
    if not policy.latency.model_fields_set:
        remedy = "write latency: {threshold_ms: 1000}"
        yield Problem(f"{path}.latency", {}, "has no threshold", remedy)
    if upper_ms and upper_ms <= lower_ms:
        yield Problem(
            f"{path}.latency.upper_threshold_ms",
            upper_ms,
            f"not above threshold_ms ({lower_ms}), so no trace would match",
            "set it above threshold_ms, or to 0 for no upper bound",
        )


def _topics(settings: Settings) -> Iterator[Problem]:
    topics = settings.topics
    taken: dict[str, str] = {}
    for role in ("input", "output", "decisions", "dead_letters", "metrics", "unkeyed"):
        name = getattr(topics, role)
        if not name:
            continue
        if name in (".", ".."):
            yield Problem(f"topics.{role}", name, "not a topic's name", "choose another name")
        if name in taken:
            wrong = f"topics.{taken[name]} has the same name"
            yield Problem(f"topics.{role}", name, wrong, "give each its own topic")
        taken.setdefault(name, role)


def _times(settings: Settings) -> Iterator[Problem]:
    worker, wait_s = settings.worker, settings.tail_sampling.decision_wait_s
    if settings.decisions.retention_s < wait_s:
        yield Problem(
            "decisions.retention",
            format_duration(settings.decisions.retention_s),
            f"shorter than tail_sampling.decision_wait ({format_duration(wait_s)})",
            "set it to decision_wait at least, better 10m",
        )
    if worker.commit_interval_s >= worker.transaction_timeout_s:
        yield Problem(
            "worker.commit_interval",
            format_duration(worker.commit_interval_s),
            f"not below transaction_timeout ({format_duration(worker.transaction_timeout_s)})",
            "set it to 500ms, or worker.transaction_timeout higher",
        )
    if worker.static_membership and worker.session_timeout_s < _STATIC_SESSION_S_MIN:
        yield Problem(
            "worker.session_timeout",
            format_duration(worker.session_timeout_s),
            "too short for worker.static_membership: a restart must fit into the session",
            f"set it to {_STATIC_SESSION_S_MIN}s at least, or static_membership: false",
        )


def _web(settings: Settings) -> Iterator[Problem]:
    if settings.web.kafka_exporter_names and not settings.worker.position_group:
        yield Problem(
            "web.kafka_exporter_names",
            settings.web.kafka_exporter_names,
            "there is no group whose lag it is: worker.position_group is false",
            "set worker.position_group: true, or remove it",
        )


def _output(settings: Settings) -> Iterator[Problem]:
    for index, name in enumerate(settings.output.copy_headers):
        if name.startswith(OUR_HEADERS):
            path = f"output.copy_headers[{index}]"
            remedy = f"remove it: the output has {OUR_HEADERS}* headers of its own"
            yield Problem(path, name, "is ours", remedy)
    client_max = whole(settings.kafka.get("message.max.bytes"))
    if client_max is not None and settings.output.message_bytes_max > client_max:
        yield Problem(
            "output.message_bytes_max",
            settings.output.message_bytes_max,
            f"more than kafka.message.max.bytes ({client_max})",
            "lower it, or raise the other (and the broker's)",
        )
