"""The Collector's `tail_sampling` block, as pasted.

Each option is honoured, or not needed here (accepted; the start says what does its job). Names and
defaults: contrib, processor/tailsamplingprocessor/config.go and factory.go. Ours: `root_condition`.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import Field

from stream.settings.fields import Block, Duration, FromList, OptionalText
from stream.settings.limit_policies import limit_notes
from stream.settings.policies import (
    POLICY_BLOCKS,
    REGEX_CACHE,
    Policy,
    StringAttributePolicy,
    default_policies,
    flattened,
)
from stream.settings.share_policies import ProbabilisticPolicy

DAY_S: Final = 86_400

NOT_NEEDED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "num_traces": "limits.open_traces_max bounds the open traces, storage.memory their memory",
        "block_on_overflow": "reading from Kafka pauses when memory is short, nothing is evicted",
        "expected_new_traces_per_sec": "memory is taken as traces come",
        "num_shards": "the input topic's partitions are the shards, spread over the workers",
        "decision_cache": "decisions live in topics.decisions, for decisions.retention",
        "tail_storage": "storage.directory, storage.memory and storage.disk hold the spans",
        "drop_pending_traces_on_shutdown": "a shutdown neither drops nor decides open traces",
    }
)
"""Options that are accepted, and what does their job."""


class DecisionCache(Block):
    """The Collector's memory of decisions."""

    sampled_cache_size: int = Field(default=0, ge=0, description="Traces that were kept.")
    non_sampled_cache_size: int = Field(default=0, ge=0, description="Traces that were dropped.")


class TailSampling(Block):
    """What is kept, and how long a trace is waited for."""

    decision_wait_s: Duration = Field(
        default=30.0,
        alias="decision_wait",
        ge=0.001,
        le=DAY_S,
        description="How long after a trace's first record its decision is taken.",
    )
    decision_wait_after_root_received_s: Duration = Field(
        default=0.0,
        alias="decision_wait_after_root_received",
        ge=0,
        le=DAY_S,
        description="How long after the root span at the latest; must be below decision_wait; "
        "0s: the root span changes nothing.",
    )
    policies: Annotated[tuple[Policy, ...], FromList] = Field(
        default_factory=default_policies,
        min_length=1,
        description="A trace is kept if any of these votes to keep it and no `drop` policy drops "
        "it. Types: " + ", ".join(POLICY_BLOCKS) + ".",
    )
    num_traces: int = Field(default=50_000, ge=0, description="Traces in memory.")
    block_on_overflow: bool = Field(default=False, description="Stop reading when that is reached.")
    expected_new_traces_per_sec: int = Field(default=0, ge=0, description="A hint for allocation.")
    num_shards: int = Field(default=1, ge=1, le=256, description="Event loops.")
    decision_cache: DecisionCache = Field(
        default_factory=DecisionCache, description="Sizes of the caches of decisions."
    )
    tail_storage: str | None = Field(default=None, description="An extension that holds spans.")
    drop_pending_traces_on_shutdown: bool = Field(
        default=False, description="Forget undecided traces at shutdown."
    )
    sampling_strategy: Literal["trace-complete", "span-ingest"] = Field(
        default="trace-complete",
        description="trace-complete: policies are asked of the whole trace when its window closes. "
        "span-ingest: of each record's spans alone, as they come; the first vote to keep or drop "
        "is the verdict, and without one the trace is not sampled. For policies of which a vote to "
        "keep cannot become wrong later.",
    )
    root_condition: OptionalText = Field(
        default="",
        description="An OTTL condition that a root span meets, e.g. `span.kind == "
        'SPAN_KIND_SERVER and resource.attributes["service.name"] == "gateway"`; empty: a span '
        "without a parent. For traces that begin elsewhere.",
    )
    maximum_trace_size_bytes: int = Field(
        default=0,
        ge=0,
        description="A trace that grows larger is not sampled, whatever the policies say; 0: off. "
        "Must be below limits.trace_bytes_max.",
    )
    sample_on_first_match: bool = Field(
        default=False,
        description="Ask no further policy once one has voted to keep: the same traces are kept, "
        "fewer votes counted, and ot=th claims nothing unless all were asked.",
    )

    def policies_in_order(self) -> tuple[Policy, ...]:
        """Return the policies in the order they vote: `drop` first, shadows last, else as written.

        It is the order of the votes in a decision record, too.
        """
        return tuple(
            sorted(self.policies, key=lambda policy: (policy.is_shadow, policy.type != "drop"))
        )

    @property
    def at_ingest(self) -> bool:
        """Whether each fragment is judged as it comes."""
        return self.sampling_strategy == "span-ingest"

    def chooses_by_hash(self) -> bool:
        """Return whether some share is chosen independently of what other samplers compare with."""
        return any(
            isinstance(each, ProbabilisticPolicy) and each.probabilistic.mode == "hash_seed"
            for policy in self.policies
            for _, each in flattened("", policy)
        )

    def notes(self) -> Iterator[str]:
        """Yield a line for every option that was given and is not needed here."""
        for option, instead in NOT_NEEDED.items():
            if option in self.model_fields_set:
                yield f"tail_sampling.{option}: not needed here: {instead}"
        if self.at_ingest:
            yield (
                "tail_sampling.sampling_strategy: the spans of a record are judged together (the "
                "Collector judges those of each resource of a request singly)"
            )
        yield from self._policy_notes()
        if "policies" not in self.model_fields_set:
            names = ", ".join(policy.name for policy in self.policies)
            yield f"tail_sampling.policies: not set, the default policies apply: {names}"

    def _policy_notes(self) -> Iterator[str]:
        for index, policy in enumerate(self.policies):
            for path, each in flattened(f"tail_sampling.policies[{index}]", policy):
                if isinstance(each, StringAttributePolicy) and each.string_attribute.cache_max_size:
                    option = f"{path}.string_attribute.cache_max_size"
                    yield f"{option}: not needed here: {REGEX_CACHE}"
                yield from limit_notes(path, each)
