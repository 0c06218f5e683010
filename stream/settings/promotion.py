"""The settings of promotions: which dropped traces get a second chance, and how fast."""

from pydantic import Field

from stream.settings.fields import Block, Duration, Size

MIB = 1 << 20


class Promotion(Block):
    """Dropped traces that are delivered after all; a pin always asks for it."""

    late_errors: bool = Field(
        default=False,
        description="Whether a late span with an error promotes its dropped trace.",
    )
    late_slow_s: Duration = Field(
        default=0.0,
        alias="late_slow",
        ge=0,
        le=86_400,
        description="A late record whose spans together take this long promotes their dropped "
        "trace; 0s: none does.",
    )
    records_per_s: int = Field(
        default=5_000,
        ge=1,
        le=1 << 40,
        description="Input records that promotions may read again, a second and worker; those "
        "between the wanted ones count too.",
    )
    bytes_per_s: Size = Field(
        default=16 * MIB,
        ge=1024,
        le=1 << 50,
        description="Bytes that promotions may read again, a second and worker.",
    )
