"""What a run says at its end: to the eye, and as JSON."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.run import Ran

MIB = 1 << 20


def tree(ran: Ran) -> dict[str, Any]:
    """Return everything, for a file."""
    return {
        **asdict(ran),
        "recovery_s": recovery_times(ran),
        "passed": not ran.account.broken,
    }


def write(ran: Ran, path: Path) -> None:
    path.write_text(json.dumps(tree(ran), indent=2) + "\n")


def recovery_times(ran: Ran) -> dict[str, dict[str, Any]]:
    """Return by kind of fault how often it struck, and the median and longest times after it."""
    kinds = Counter(one.fault.kind for one in ran.recoveries)
    times: dict[str, dict[str, Any]] = {}
    for kind, count in sorted(kinds.items()):
        mine = [one for one in ran.recoveries if one.fault.kind is kind]
        row: dict[str, Any] = {"faults": count}
        for name in ("cause_s", "ready_s", "caught_up_s"):
            values = [value for one in mine if (value := getattr(one, name)) is not None]
            row[name] = [round(median(values), 1), round(max(values), 1)] if values else None
        times[kind] = row
    return times


def show(ran: Ran, console: Console) -> None:
    account = ran.account
    console.print(_account_table(ran))
    console.print(_recovery_table(ran))
    peaks = ", ".join(
        f"{name} {peak / MIB:.0f} MiB" for name, peak in ran.peak_rss_bytes.items() if peak
    )
    console.print(f"peak memory: {peaks}; spilled at most {ran.spilled_bytes / MIB:.1f} MiB")
    console.print(f"ended by themselves, by exit code: {ran.exits}; told to end: {ran.ends}")
    for broken in account.broken:
        console.print(f"BROKEN: {broken}", markup=False)


def _account_table(ran: Ran) -> Table:
    account = ran.account
    rows: dict[str, object] = {
        "seed": ran.seed,
        "seconds": round(ran.seconds),
        "faults": len(ran.recoveries),
        "decision_wait (ms)": ran.rules.decision_wait_ms,
        "partitions at the end": ran.partitions,
        "hanging transactions ended": ran.hanging_transactions,
        "brokers that had to be restarted": ran.restarts_by_the_operator,
        "records in": account.records_in,
        "spans in": account.spans_in,
        "traces": account.traces,
        "traces kept": account.traces_kept,
        "spans kept": account.spans_kept,
        "spans missing": account.missing,
        "spans that nobody wanted": account.alien,
        "spans twice": account.twice,
        "verdicts that differ": account.verdicts_that_differ,
        "traces with two verdicts": account.verdicts_twice,
        "traces not accounted for": account.unaccounted,
        "cut by the wall clock": account.cut_by_the_wall,
        "traces astride a growth": account.astride,
        "dead letters": account.dead_letters,
        "dead letters repeated (no hints)": account.dead_letters_repeated,
        **{f"outcome {name}": spans for name, spans in sorted(account.outcomes.items())},
        **{f"decisions by {name}": count for name, count in sorted(account.triggers.items())},
    }
    table = Table(title="what came of it", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    return table


def _recovery_table(ran: Ran) -> Table:
    table = Table(title="seconds from the strike, median / longest")
    for name in ("fault", "struck", "cause over", "all ready", "caught up"):
        table.add_column(name, justify="left" if name == "fault" else "right")
    for kind, row in recovery_times(ran).items():
        cells = [
            "overtaken" if row[name] is None else "{} / {}".format(*row[name])
            for name in ("cause_s", "ready_s", "caught_up_s")
        ]
        table.add_row(kind, str(row["faults"]), *cells)
    return table
