"""Which release this is, and which core it runs."""

from importlib.metadata import version

DISTRIBUTION = "tailstream"


def build() -> dict[str, str]:
    """Return what `build_info` and the start's log say. There is no compiled core in this build."""
    return {"version": version(DISTRIBUTION), "compiled": "false"}
