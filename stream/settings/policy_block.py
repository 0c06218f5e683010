"""What every policy of the settings has."""

from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from stream.settings.fields import Block

DECIDES = "decide"


class LaterOptions(Block):
    """Options of which some, `later`, are younger than the policies' hash.

    They are left out of it while they are off, so that it does not change under old settings.
    """

    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _dumped(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        off = {key for key in self.later if dumped.get(key) == fields[key].default}
        return {key: value for key, value in dumped.items() if key not in off}


class PolicyBlock(LaterOptions):
    """What every policy has. Names are unique; a sub-policy may go without one."""

    later: ClassVar[frozenset[str]] = frozenset({"mode"})

    name: str = Field(default="", description="The policy's name, in every decision it takes.")
    mode: Literal["decide", "shadow"] = Field(
        default="decide",
        description="shadow: it votes after all others, is counted and recorded with every "
        "decision, and decides nothing. For policies that stand at the top.",
    )

    @property
    def is_shadow(self) -> bool:
        """Whether it decides nothing."""
        return self.mode != DECIDES

    def meaning(self) -> str:
        """Return in a few words why this policy votes to keep (or drop) a trace."""
        raise NotImplementedError
