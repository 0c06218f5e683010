"""What a run against real counterparts found: written down as a page, with its pictures.

`pytest tests/real --report FOLDER` writes FOLDER/README.md; without the option nothing is written.
"""

import platform
import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

PAGE: Final = "README.md"


@dataclass(slots=True)
class Report:
    """Facts of one run, by section. Tests run in random order: sections are written by name."""

    versions: dict[str, str] = field(default_factory=dict)
    facts: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    pictures: dict[str, list[tuple[Path, str]]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    outcomes: dict[str, str] = field(default_factory=dict)

    def ran(self, counterpart: str, its_version: str) -> None:
        """Name a counterpart that was really run, by its version."""
        self.versions[counterpart] = its_version

    def found(self, section: str, what: str, value: str) -> None:
        """Note a fact: a row of the section's table."""
        self.facts[section].append((what, value))

    def picture(self, section: str, path: Path, caption: str) -> None:
        """Keep a picture; its file's name is its name in the report, so it says what it shows."""
        self.pictures[section].append((path, caption))

    def text(self, section: str, caption: str, text: str) -> None:
        """Keep what a command said, line by line."""
        self.texts[section].append((caption, text))

    def write(self, folder: Path) -> None:
        """Write the page and its pictures, in place of an earlier run's."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for section in self.pictures.values():
            for path, _ in section:
                shutil.copy(path, folder / path.name)
        (folder / PAGE).write_text("\n".join(self._lines()) + "\n")

    def _lines(self) -> list[str]:
        sections = sorted({*self.facts, *self.pictures, *self.texts})
        passed = sum(1 for outcome in self.outcomes.values() if outcome == "passed")
        when = f"{datetime.now(UTC):%Y-%m-%d}"
        return [
            "# Tailstream beside its real counterparts",
            "",
            f"`tests/real` on {when}: {passed} of the {len(self.outcomes)} tests that ran passed.",
            "",
            *_table(("what ran", "version"), [*_ours(), *self.versions.items()]),
            *(line for section in sections for line in self._section(section)),
            "## Every test",
            "",
            *_table(("test", "outcome"), sorted(self.outcomes.items())),
        ]

    def _section(self, name: str) -> list[str]:
        lines = [f"## {name}", ""]
        if self.facts.get(name):
            lines += _table(("what", "found"), sorted(self.facts[name]))
        for path, caption in self.pictures.get(name, ()):
            lines += [f"![{caption}]({path.name})", "", f"*{caption}*", ""]
        for caption, text in self.texts.get(name, ()):
            lines += [f"{caption}:", "", "```", *text.rstrip().splitlines(), "```", ""]
        return lines


def _ours() -> list[tuple[str, str]]:
    names = ("tailstream", "confluent-kafka", "faust-streaming", "rocksdict", "prometheus-client")
    return [("Python", platform.python_version()), *((name, version(name)) for name in names)]


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    lines = [f"| {left} | {right} |" for left, right in (head, ("---", "---"))]
    lines += [f"| {_cell(left)} | {_cell(right)} |" for left, right in rows]
    return [*lines, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")
