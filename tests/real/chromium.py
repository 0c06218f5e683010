"""A real browser without a window: Chromium as the system has it, driven by Playwright."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH: Final = 1200
TIMEOUT_S: Final = 120.0
PICTURE_BYTES_MAX: Final = 200_000

Page = Any
"""Playwright's Page: https://playwright.dev/python/docs/api/class-page"""


class NoBrowserError(RuntimeError):
    """There is no Chromium here. The text says what to install."""


@dataclass(frozen=True, slots=True)
class Chromium:
    """The browser's program."""

    program: str

    @classmethod
    def on_this_machine(cls) -> "Chromium":
        """Find it.

        Raises:
            NoBrowserError: there is none.
        """
        for name in NAMES:
            found = shutil.which(name)
            if found:
                return cls(found)
        raise NoBrowserError(
            f"There is no Chromium ({', '.join(NAMES)}) on the PATH. On Debian or Ubuntu:\n"
            "  apt-get install chromium"
        )

    def version(self) -> str:
        """Return what it says of itself."""
        command = [self.program, "--version"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    @contextmanager
    def opened(self, url: str, *, height: int) -> Iterator[Page]:
        """Open an address in a window of this height, in a browser of its own; give the page.

        While it is open, Playwright's event loop runs in this thread: no `asyncio.run` within.
        """
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where it is there

        # As root it needs to be without its sandbox; it sees pages of this machine only.
        options = ["--no-sandbox", "--disable-background-networking"]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=self.program, args=options)
            try:
                page = browser.new_page(viewport={"width": WIDTH, "height": height})
                page.set_default_timeout(TIMEOUT_S * 1000)
                page.goto(url)
                yield page
            finally:
                browser.close()


def picture_of(page: Page, path: Path) -> Path:
    """Write what is seen of a page as PNG, small enough to be kept in the repository."""
    page.screenshot(path=path, animations="disabled")
    assert path.stat().st_size <= PICTURE_BYTES_MAX, f"{path.name} has {path.stat().st_size} bytes"
    return path
