"""Which release this is, and which core it runs."""

from importlib.metadata import version

from stream import compiled

DISTRIBUTION = "tailstream"


def build() -> dict[str, str]:
    """Return what `build_info` and the start's log say."""
    return {"version": version(DISTRIBUTION), "compiled": str(compiled.RUNS).lower()}
