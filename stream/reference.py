"""The generated reference tables of the README: `python -m stream.reference` writes them anew."""

import re
import sys
from pathlib import Path

from stream.metrics import DECLARATIONS, Declaration
from stream.settings.reference import settings_table

README = Path(__file__).parent.parent / "README.md"


def written(readme: str) -> str:
    """Return the README with its tables as the code has them now.

    Raises:
        ValueError: a table's markers are missing.
    """
    for name, table in (("settings", settings_table()), ("metrics", metrics_table())):
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        pattern = re.compile(re.escape(begin) + ".*" + re.escape(end), re.DOTALL)
        if not pattern.search(readme):
            raise ValueError(f"README.md has no {begin} ... {end}")
        block = f"{begin}\n{table.strip()}\n{end}"
        before, after = pattern.split(readme, maxsplit=1)
        readme = before + block + after
    return readme


def metrics_table() -> str:
    """Return the table of all metrics, in their order of declaration."""
    rows = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{_full_name(d)}` | {d.kind.__name__.lower()} | "
        f"{', '.join(f'`{label}`' for label in d.labels)} | {d.help} |"
        for d in DECLARATIONS
    ]
    return "\n".join(rows)


def _full_name(declaration: Declaration) -> str:
    suffix = {"Counter": "_total", "Info": "_info"}.get(declaration.kind.__name__, "")
    return f"{declaration.prefix}{declaration.name}{suffix}"


def main() -> int:
    """Write the tables; with `--check`, say whether they are current instead."""
    before = README.read_text()
    after = written(before)
    if "--check" in sys.argv[1:]:
        return int(before != after)
    README.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
