"""The pages of the commands beside the workers: the worker's, by the same settings."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack

from prometheus_client import ProcessCollector

from stream import clock
from stream.cli.refused import ClusterRefused
from stream.metrics import Declaration, Metrics
from stream.settings.model import Settings
from stream.version import build
from stream.web import served_pages


def metrics_of(declarations: Sequence[Declaration]) -> Metrics:
    """Return a command's metrics, nothing counted yet, and CPU and memory by the usual names."""
    metrics = Metrics(declarations=declarations)
    ProcessCollector(registry=metrics.registry)
    metrics["build"].info(build())
    return metrics


def pages(
    settings: Settings,
    metrics: Metrics,
    *,
    turned_s: Callable[[], float],
    joined: Callable[[], bool],
) -> AbstractContextManager[object]:
    """Serve `/metrics`, `/livez` and `/readyz` at web.host:web.port, from now to the context's end.

    `turned_s` is when the work last turned, by the monotonic clock; ready is who has `joined` its
    group.

    Raises:
        ClusterRefused: the port cannot be listened on.
    """
    host, port = settings.web.host, settings.web.port
    stack = ExitStack()
    try:
        stack.enter_context(
            served_pages(
                host,
                port,
                metrics,
                silent_s=lambda: clock.monotonic_s() - turned_s(),
                not_ready=lambda: "" if joined() else "joining the group",
            )
        )
    except OSError as problem:
        raise ClusterRefused(
            f"web.port: {port} on {host}: {problem.strerror}: set web.port to a free one (each "
            "command on a host needs its own), or web.host"
        ) from None
    return stack
