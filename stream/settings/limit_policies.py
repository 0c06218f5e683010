"""The policies that are limits: values only.

A limit is the fleet's: each partition has an equal share of it, in partition time. Names, fields
and meaning: contrib, processor/tailsamplingprocessor/config.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from stream.settings.errors import Problem, nearest
from stream.settings.fields import Block, FromList
from stream.settings.policy_block import PolicyBlock

if TYPE_CHECKING:
    from stream.settings.policies import SubPolicy

PER_SECOND_MAX: Final = 10**15
"""Levels are counted in 64 bits (`sampling/policies/limit.py`)."""

PERCENT_MAX: Final = 1_000
"""Of a share, under `compatibility: collector`: the Collector does not look at the sum."""

_ALL_PERCENT: Final = 100

SPREAD: Final = (
    "for all workers together: each partition has an equal share, in partition time (in the "
    "Collector each instance has the whole)"
)
"""How limits differ from the Collector's."""


class RateLimitingOptions(Block):
    """How many spans."""

    spans_per_second: int = Field(
        ge=1,
        le=PER_SECOND_MAX,
        description="Keeps traces while they have no more spans a second than this, in partition "
        "time. All partitions together: each has an equal share.",
    )
    burst_capacity: int = Field(
        default=0,
        ge=0,
        le=PER_SECOND_MAX,
        description="As many spans at once; a trace with more is never kept. 0: twice "
        "spans_per_second. All partitions together, and each may exceed its share by one trace.",
    )


class RateLimitingPolicy(PolicyBlock):
    """Keeps what fits into a rate of spans."""

    type: Literal["rate_limiting"]
    rate_limiting: RateLimitingOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        options = self.rate_limiting
        rate = options.spans_per_second
        return f"within {rate} spans a second, {options.burst_capacity or 2 * rate} at once"


class BytesLimitingOptions(Block):
    """How many bytes."""

    bytes_per_second: int = Field(
        ge=1,
        le=PER_SECOND_MAX,
        description="Keeps traces while their OTLP protobuf has no more bytes a second than this, "
        "in partition time. All partitions together: each has an equal share.",
    )
    burst_capacity: int = Field(
        default=0,
        ge=0,
        le=PER_SECOND_MAX,
        description="As many bytes at once; a larger trace is never kept. 0: twice "
        "bytes_per_second. All partitions together, and each may exceed its share by one trace.",
    )


class BytesLimitingPolicy(PolicyBlock):
    """Keeps what fits into a rate of bytes."""

    type: Literal["bytes_limiting"]
    bytes_limiting: BytesLimitingOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        options = self.bytes_limiting
        rate = options.bytes_per_second
        return f"within {rate} bytes a second, {options.burst_capacity or 2 * rate} at once"


class RateAllocation(Block):
    """A sub-policy's share."""

    policy: str = Field(min_length=1, description="The sub-policy's name.")
    percent: int = Field(
        default=0, ge=0, le=PERCENT_MAX, description="Its share, at most 100; 0: an equal one."
    )


class CompositeOptions(Block):
    """Which traces, and how many spans of them."""

    max_total_spans_per_second: int = Field(
        ge=0,
        le=PER_SECOND_MAX,
        description="Keeps traces while they have no more spans a second than this, by whole "
        "seconds of partition time. All partitions together: each has an equal share.",
    )
    policy_order: Annotated[tuple[str, ...], FromList] = Field(
        default=(),
        description="The order in which the sub-policies are asked, by name; those that are not "
        "named come after these, as listed.",
    )
    composite_sub_policy: Annotated[tuple[SubPolicy, ...], FromList] = Field(
        description="Keeps a trace for which one of these votes to keep and has room in its share; "
        "policies of any type but drop, to any depth.",
    )
    rate_allocation: Annotated[tuple[RateAllocation, ...], FromList] = Field(
        default=(),
        description="The shares, `{policy: name, percent: 50}`. Without one, or with 0 percent, a "
        "sub-policy has the total divided by the number of sub-policies.",
    )

    def order(self) -> tuple[int, ...]:
        """Return in which order the sub-policies are asked, by their places in the list."""
        order = {name: place for place, name in enumerate(self.policy_order)}
        subs = self.composite_sub_policy
        return tuple(sorted(range(len(subs)), key=lambda at: order.get(subs[at].name, len(order))))

    def rates(self) -> tuple[int, ...]:
        """Return the spans a second of each sub-policy, as listed."""
        percents = {share.policy: share.percent for share in self.rate_allocation}
        total, subs = self.max_total_spans_per_second, self.composite_sub_policy
        rates = {name: total * percent // 100 for name, percent in percents.items() if percent}
        return tuple(rates.get(sub.name, total // len(subs)) for sub in subs)

    def collector_rates(self) -> tuple[int, ...]:
        """Return what the Collector v0.158 makes of them (composite_helper.go).

        Who has no allocation has nothing, and what is left of a span is none.
        """
        total, subs = float(self.max_total_spans_per_second), self.composite_sub_policy
        equal = total / max(1, len(subs))
        rates = {
            share.policy: share.percent / 100 * total if share.percent else equal
            for share in self.rate_allocation
        }
        return tuple(int(rates.get(sub.name, 0)) for sub in subs)


class CompositePolicy(PolicyBlock):
    """Shares a rate of spans among sub-policies."""

    type: Literal["composite"]
    composite: CompositeOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        options = self.composite
        # Their order and their shares depend on `compatibility`, of which a policy does not know.
        shares = ", or ".join(sub.meaning() for sub in options.composite_sub_policy)
        return f"within its share of {options.max_total_spans_per_second} spans a second: {shares}"


def composite_problems(path: str, options: CompositeOptions) -> Iterator[Problem]:
    """Yield what is wrong with a composite policy, although the Collector starts with it."""
    for problem in (*_composite_numbers(path, options), *_composite_names(path, options)):
        remedy = f"{problem.remedy} (compatibility: collector takes it as the Collector does)"
        yield replace(problem, remedy=remedy)


def _composite_names(path: str, options: CompositeOptions) -> Iterator[Problem]:
    names = Counter(sub.name for sub in options.composite_sub_policy if sub.name)
    for index, sub in enumerate(options.composite_sub_policy):
        if names[sub.name] > 1:
            wrong, remedy = "another sub-policy has this name", "give each a name of its own"
            yield Problem(f"{path}.composite_sub_policy[{index}].name", sub.name, wrong, remedy)
    listed: tuple[tuple[str, list[str]], ...] = (
        ("policy_order[{}]", list(options.policy_order)),
        ("rate_allocation[{}].policy", [share.policy for share in options.rate_allocation]),
    )
    for setting, named in listed:
        for index, name in enumerate(named):
            yield from _name(f"{path}.{setting.format(index)}", name, named[:index], list(names))


def _composite_shares(path: str, options: CompositeOptions) -> Iterator[Problem]:
    for index, rate in enumerate(options.rates() if options.max_total_spans_per_second else ()):
        if rate < 1:
            sub = options.composite_sub_policy[index]
            setting = f"{path}.composite_sub_policy[{index}]"
            wrong = f"its share of {options.max_total_spans_per_second} spans a second is below one"
            remedy = f"raise its percent in rate_allocation, or {path}.max_total_spans_per_second"
            yield Problem(setting, {"name": sub.name}, wrong, remedy)


def _composite_numbers(path: str, options: CompositeOptions) -> Iterator[Problem]:
    if not options.composite_sub_policy:
        wrong, remedy = "empty", "write at least one: the Collector keeps none when it is empty"
        yield Problem(f"{path}.composite_sub_policy", [], wrong, remedy)
    if options.max_total_spans_per_second < 1:
        total = options.max_total_spans_per_second
        setting = f"{path}.max_total_spans_per_second"
        yield Problem(setting, total, "less than 1", "set it to 1 or more")
    for index, share in enumerate(options.rate_allocation):
        if share.percent > _ALL_PERCENT:
            setting = f"{path}.rate_allocation[{index}].percent"
            yield Problem(setting, share.percent, "more than 100", "set it to 100 or less")
    yield from _composite_shares(path, options)


def limit_notes(path: str, policy: PolicyBlock) -> Iterator[str]:
    """Yield how a policy that is a limit differs from the Collector's."""
    if isinstance(policy, RateLimitingPolicy | BytesLimitingPolicy | CompositePolicy):
        yield f"{path}.{policy.type}: {SPREAD}"
    if isinstance(policy, CompositePolicy):
        percent = sum(share.percent for share in policy.composite.rate_allocation)
        if percent > _ALL_PERCENT:
            yield (
                f"{path}.composite.rate_allocation: its percents are {percent} together: who is "
                "asked first can leave nothing of max_total_spans_per_second to the others"
            )


def _name(setting: str, name: str, before: list[str], known: list[str]) -> Iterator[Problem]:
    if name in before:
        yield Problem(setting, name, "named twice", "name it once")
    if name not in known:
        near = nearest(name, known)
        remedy = f"did you mean {near}?" if near else f"write one of {', '.join(known)}"
        if not known:
            remedy = "give the sub-policy it is meant for this name"
        yield Problem(setting, name, "no sub-policy of this one has this name", remedy)


def rebuild(types: dict[str, Any]) -> None:
    """Let the blocks here know `SubPolicy`, of which they are a part."""
    for block in (CompositeOptions, CompositePolicy):
        block.model_rebuild(_types_namespace=types)
