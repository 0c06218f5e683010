"""The policies that look into whole spans: values only.

Names, fields and meaning: contrib, processor/tailsamplingprocessor/config.go.
"""

from typing import Annotated, Literal

from pydantic import Field

from stream.settings.fields import Block, FromList
from stream.settings.policy_block import PolicyBlock


class OttlConditionOptions(Block):
    """Which spans. Language: contrib, pkg/ottl/LANGUAGE.md."""

    error_mode: Literal["propagate", "ignore", "silent"] = Field(
        default="ignore",
        description="What a condition that fails for a span counts as (it divides by 0, or it "
        "indexes what is no map): `ignore`: not met, counted; `silent`: not met; `propagate`: the "
        "policy has no vote, unless another span meets a condition.",
    )
    span: Annotated[tuple[str, ...], FromList] = Field(
        default=(),
        description="Keeps a trace with a span that meets one of these OTTL conditions, e.g. "
        '`span.attributes["http.status_code"] >= 500`.',
    )
    spanevent: Annotated[tuple[str, ...], FromList] = Field(
        default=(),
        description="Or with a span event that meets one of these, e.g. "
        '`spanevent.name == "exception"`.',
    )


class OttlConditionPolicy(PolicyBlock):
    """Keeps a trace by conditions on a span as a whole, or on one of its events."""

    type: Literal["ottl_condition"]
    ottl_condition: OttlConditionOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        options = self.ottl_condition
        conditions = [
            *(f"a span meets {text}" for text in options.span),
            *(f"a span event meets {text}" for text in options.spanevent),
        ]
        return " or ".join(conditions)
