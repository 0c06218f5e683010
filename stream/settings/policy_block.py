"""What every policy of the settings has."""

from pydantic import Field

from stream.settings.fields import Block


class PolicyBlock(Block):
    """What every policy has. Names are unique; a sub-policy may go without one."""

    name: str = Field(default="", description="The policy's name, in every decision it takes.")

    def meaning(self) -> str:
        """Return in a few words why this policy votes to keep (or drop) a trace."""
        raise NotImplementedError
