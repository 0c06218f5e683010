"""About three minutes of chaos from a fixed seed: every kind of fault strikes, every law holds."""

import shutil
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from tests.chaos import report
from tests.chaos.__main__ import perform
from tests.chaos.run import SPANS_MIN
from tests.chaos.schedule import Kind
from tests.harness.broker import NoBrokerError

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_200)]

SEED = 23
MINUTES = 2.0


def test_no_fault_loses_repeats_or_changes_anything() -> None:
    home = Path(tempfile.mkdtemp(prefix="tailstream-chaos-"))
    console = Console(highlight=False, width=100)
    try:
        ran = perform(home, minutes=MINUTES, seed=SEED, console=console)
    except NoBrokerError as none:
        pytest.fail(str(none), pytrace=False)
    report.show(ran, console)

    account = ran.account
    assert account.broken == [], f"make chaos SEED={SEED} MINUTES={MINUTES:g}; logs: {home}"
    assert (account.missing, account.twice, account.verdicts_that_differ) == (0, 0, 0)
    assert {one.fault.kind for one in ran.recoveries} == set(Kind)
    assert account.spans_in >= SPANS_MIN
    late = ("late_sampled", "late_not_sampled", "promoted")
    outcomes = ("sampled", *late, "duplicate", "dead_lettered")
    assert all(account.outcomes[name] > 0 for name in outcomes)
    if not (
        ran.hanging_transactions or ran.restarts_by_the_operator
    ):  # else what the broker held is worth a look
        shutil.rmtree(home)
