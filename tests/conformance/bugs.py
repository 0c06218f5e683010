"""The known bugs of the Collector v0.158: how the start tells of each, by the name that we give it.

`compatibility: collector` reproduces them, and says so in these words (`settings/differences.py`);
`fixed` decides otherwise, or, of `REFUSED`, does not start.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

BUGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "zero_start": "a span without a start counts as one from 1970",
        "latency_prefix": "the bounds are compared after each span",
        "unknown_status": "a status code that OTLP does not define is not UNSET",
        "not_a_number": "any value that is no whole number counts as 0",
        "zero_bound": "a bound of 0 is none",
        "not_a_boolean": "a value that is no boolean counts as false",
        "empty_value": "an empty value is ignored",
        "empty_match": "a span's empty attribute matches nothing",
        "first_of_a_key": "of a span's attributes with one key, which OTLP forbids",
        "sampling_told": "of several spans' `ot=rv` the first counts",
        "long_member": "a value is ignored that has 256 bytes or more",
        "first_outcome": "the first of a span that meets a condition and one that fails decides",
        "empty_and": "an empty list keeps every trace",
        "empty_drop": "an empty list drops every trace",
        "composite_order": "it is ignored: sub-policies are asked as they are listed",
        "composite_last_word": "the first that votes to keep has the last word",
        "composite_share": "a sub-policy that is not in it keeps nothing",
        "composite_unchecked": "names, shares and totals of a composite are not checked",
        "drop_at_ingest": "a drop policy that has not matched defers every keep for ever",
    }
)

REFUSED: Final = frozenset({"empty_and", "empty_drop", "composite_unchecked", "drop_at_ingest"})
"""What `fixed` does not start with: the error says what the Collector does."""
