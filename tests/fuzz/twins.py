"""Whether the compiled scan and its pure-Python twin say the same of a record."""

from dataclasses import dataclass, field
from random import Random

from stream.otlp.fragment import Scanned
from stream.otlp.scan import ScanPlan, scan_in_python
from stream.sampling.matcher import (
    BooleanIs,
    Condition,
    Matcher,
    NumberWithin,
    StatusIs,
    StringIs,
)
from tests.fuzz.odd_records import LONG_KEY, broken, odd_record

_LONG = LONG_KEY.decode()
CONDITIONS: tuple[Condition, ...] = (
    StatusIs(0),
    StatusIs(2),
    StringIs("a", frozenset({"x", "", "é"})),
    StringIs("a", frozenset({"^x+$", "é"}), regex=True),
    StringIs("bb", frozenset({"x", "xx", "y", "yx"})),
    StringIs("bb", frozenset({"y"}), regex=True),
    StringIs("", frozenset({"x"})),
    StringIs(_LONG, frozenset({"x" * 300, "x"})),
    NumberWithin("a", 0, None),
    NumberWithin("a", None, 0),
    NumberWithin("bb", -1, 1),
    NumberWithin("bb", 2**53 + 1, 2**63 - 1),
    NumberWithin("cc", -(2**63), 2**63 - 1),
    NumberWithin("cc", 2**63 - 1, None),
    BooleanIs("a", value=True),
    BooleanIs("bb", value=False),
    BooleanIs(_LONG, value=True),
)


def plan_of(*conditions: Condition) -> ScanPlan:
    """Return the plan that looks for these."""
    matcher = Matcher()
    for condition in conditions:
        matcher.mask(condition)
    return matcher.plan()


def plans() -> list[ScanPlan]:
    """Return plans of every shape: without tests, with some, with more than a word of bits."""
    many = [StringIs(f"n{number}", frozenset({"x"})) for number in range(70)]
    return [
        ScanPlan((1, 2, 4)),
        plan_of(*CONDITIONS),
        plan_of(*many, *reversed(CONDITIONS)),
        plan_of(StringIs("cc", frozenset({"x"}))),
    ]


class Disagreement(AssertionError):  # noqa: N818  # what the fuzzer is looking for
    """The twins say different things of one record."""


@dataclass(slots=True)
class Twins:
    """Scans records by both, for each plan, and counts how many of them were plain."""

    plans: list[ScanPlan] = field(default_factory=plans)
    records: int = 0
    plain: int = 0

    def compare(self, record: bytes) -> None:
        """Scan a record by both.

        Raises:
            Disagreement: they differ, or the compiled scan left a plain record to the other.
        """
        self.records += 1
        for number, plan in enumerate(self.plans):
            assert plan.scanner is not None, "the compiled core does not run"
            expected = scan_in_python(record, plan)
            scanned = plan.scanner.scan(record)
            if scanned is None and not is_plain(expected, record):
                continue
            if scanned != expected:
                raise Disagreement(f"plan {number}: {record.hex()}\n{scanned}\n{expected}")
            self.plain += 1

    def run(self, rng: Random, count: int) -> None:
        """Compare so many records, a part of them broken."""
        other = odd_record(rng)
        for _ in range(count):
            record = odd_record(rng)
            self.compare(broken(rng, record, other) if rng.random() < 0.7 else record)
            other = record


def is_plain(scanned: Scanned, record: bytes) -> bool:
    """Return whether a record is one that the compiled scan has to know: protobuf, one trace."""
    if scanned.bad or len(scanned.fragments) > 1 or record[:1] == b"{":
        return False
    return all(fragment.body is record for fragment in scanned.fragments)
