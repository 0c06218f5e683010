"""Writes the dashboards to `deploy/grafana/dashboards/`: `make dashboards`."""

import json
from pathlib import Path
from typing import Final

from deploy.dashboards import lag, latency, resources, sampling
from deploy.dashboards.grafana import rendered

FILES: Final = Path(__file__).parents[1] / "grafana" / "dashboards"
DASHBOARDS: Final = (lag.DASHBOARD, sampling.DASHBOARD, latency.DASHBOARD, resources.DASHBOARD)


def files() -> dict[Path, str]:
    """Return each dashboard's file and what is to be in it."""
    return {
        FILES / f"{dashboard.uid}.json": json.dumps(
            rendered(dashboard), indent=2, ensure_ascii=False
        )
        + "\n"
        for dashboard in DASHBOARDS
    }


def main() -> None:
    """Write the files, and remove those of dashboards that are no more."""
    wanted = files()
    for old in set(FILES.glob("*.json")) - wanted.keys():
        old.unlink()
    for path, text in wanted.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
