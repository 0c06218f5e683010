"""The pages of a command of ours, asked as a probe and a scrape ask."""

import urllib.error
import urllib.request


class Pages:
    """What is served on a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    def text(self, path: str) -> str:
        """Return a page; OSError where nobody answers, or not with 200."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def ready(self) -> bool:
        """Return whether it answers, and says that it is ready."""
        try:
            return self.text("/readyz") == "ok\n"
        except OSError:
            return False

    def value(self, sample: str) -> float | None:
        """Return a sample of /metrics, named with its labels; None without it, or a page."""
        try:
            page = self.text("/metrics")
        except urllib.error.URLError:
            return None
        values = (line.rpartition(" ") for line in page.splitlines())
        return next((float(value) for name, _, value in values if name == sample), None)
