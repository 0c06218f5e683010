"""What a run with exemplars says at its end."""

from rich.console import Console
from rich.table import Table

from tests.chaos.exemplar_laws import ExemplarRan

MS = 1000


def show(ran: ExemplarRan, console: Console) -> None:
    table = Table(title="what came of it", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in _rows(ran).items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    console.print(table)
    for broken in ran.broken:
        console.print(f"BROKEN: {broken}", markup=False)


def _rows(ran: ExemplarRan) -> dict[str, object]:
    kept = ran.account.traces_kept
    rows: dict[str, object] = {
        "seconds": round(ran.seconds),
        "window (ms)": ran.rules.decision_wait_ms,
        "kill -9": ", ".join(f"{who} {n}" for who, n in sorted(ran.kills.items())) or "none",
        "traces": ran.traces,
        "spans": ran.spans,
        "records in, pins included": ran.account.records_in,
        "exemplars": ran.exemplars,
        "traces they point at": ran.traces_shown,
        "of these whole in the output": ran.whole,
        **{f"  by {how}": count for how, count in sorted(ran.came_by.items())},
        "traces in the output in all": kept,
        "pins written": ran.pins,
        "of these for a trace that had one": ran.pins_repeated,
        "readable before their exemplars": ran.there_before,
        **{f"outcome {name}": spans for name, spans in sorted(ran.account.outcomes.items())},
    }
    for trigger, waits in ran.wait_s.items():
        name = f"s from exemplar to readable, {trigger}: p50 / p99 / longest"
        rows[name] = " / ".join(f"{waits[int(q * (len(waits) - 1))]:.2f}" for q in (0.5, 0.99, 1))
    if not ran.kills:
        rows["records read again for promotions"] = ran.read_again_records
        rows["MB of these"] = round(ran.read_again_bytes / 1e6)
        rows["workers' CPU (us a span)"] = f"{1e6 * ran.cpu_s / ran.spans:.2f}"
    return rows
