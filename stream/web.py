"""The pages of the worker's web server: is it alive, is it ready, what does it measure."""

from collections.abc import Callable
from typing import Any

from prometheus_client.exposition import choose_encoder

from stream.metrics import Metrics

NOT_TURNING_S = 60.0


def add_pages(
    app: Any, *, metrics: Metrics, silent_s: Callable[[], float], ready: Callable[[], bool]
) -> None:
    """Serve `/livez`, `/readyz` and `/metrics`.

    `silent_s` is how long the poll thread has not turned; that a page answers at all shows that
    the loop turns.
    """

    @app.page("/livez")  # type: ignore[untyped-decorator]  # faust is untyped
    async def livez(web: Any, request: Any) -> Any:
        del request
        turning = silent_s() < NOT_TURNING_S
        return web.text("ok\n" if turning else "not polling\n", status=200 if turning else 503)

    @app.page("/readyz")  # type: ignore[untyped-decorator]  # faust is untyped
    async def readyz(web: Any, request: Any) -> Any:
        del request
        is_ready = ready()
        text = "ok\n" if is_ready else "restoring, or not assigned yet\n"
        return web.text(text, status=200 if is_ready else 503)

    @app.page("/metrics")  # type: ignore[untyped-decorator]  # faust is untyped
    async def serve_metrics(web: Any, request: Any) -> Any:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.bytes(
            encode(metrics.registry), content_type=None, headers={"Content-Type": content_type}
        )
