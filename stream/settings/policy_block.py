"""What every policy of the settings has."""

from typing import Any, ClassVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from stream.settings.fields import Block


class PolicyBlock(Block):
    """What every policy has. Names are unique; a sub-policy may go without one."""

    name: str = Field(default="", description="The policy's name, in every decision it takes.")

    def meaning(self) -> str:
        """Return in a few words why this policy votes to keep (or drop) a trace."""
        raise NotImplementedError


class LaterOptions(Block):
    """Options of which some, `later`, are younger than the policies' hash.

    They are left out of it while they are off, so that it does not change under old settings.
    """

    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _dumped(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        return {key: value for key, value in dumped.items() if value or key not in self.later}
