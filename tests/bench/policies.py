"""The policies of a run: as both samplers are configured with them, and as they are counted."""

from dataclasses import dataclass
from typing import Any

SLOW_MS = 1_000
PERCENTAGE = 5.0

Policy = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What keeps a trace. `idle` more policies look at every span and never keep one."""

    errors: bool = True
    slow: bool = True
    percentage: float = PERCENTAGE
    idle: int = 0

    @property
    def policies(self) -> list[Policy]:
        """Return the block `policies` of tail_sampling."""
        found: list[Policy] = []
        if self.errors:
            found.append(_policy("errors", "status_code", status_codes=["ERROR"]))
        if self.slow:
            found.append(_policy("slow", "latency", threshold_ms=SLOW_MS))
        found += [_IDLE[number % len(_IDLE)](number) for number in range(self.idle)]
        rest = _policy("rest", "probabilistic", sampling_percentage=self.percentage)
        return [*found, rest]


REFERENCE = Keeping()


def _policy(name: str, kind: str, **options: object) -> Policy:
    return {"name": name, "type": kind, kind: options}


def _route(number: int) -> Policy:
    values = [f"/never/{number}"]
    return _policy(f"route-{number}", "string_attribute", key="http.route", values=values)


def _status(number: int) -> Policy:
    key = "http.response.status_code"
    bounds = {"min_value": 1000 + number, "max_value": 2000 + number}
    return _policy(f"status-{number}", "numeric_attribute", key=key, **bounds)


def _pod(number: int) -> Policy:
    values = [f"pod-{number}"]
    return _policy(f"pod-{number}", "string_attribute", key="k8s.pod.name", values=values)


def _absent(number: int) -> Policy:
    return _policy(f"absent-{number}", "boolean_attribute", key=f"absent.{number}", value=True)


def _long(number: int) -> Policy:
    return _policy(f"long-{number}", "latency", threshold_ms=3_600_000 + number)


_IDLE = (_route, _status, _pod, _absent, _long)
