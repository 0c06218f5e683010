"""The pages of the web server: is it alive, is it ready, what does it measure.

`served_pages` are those of commands without Faust, `waiting_pages` of a worker that must not start.
"""

import socket
import socketserver
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from prometheus_client.exposition import choose_encoder

from stream import logs
from stream.metrics import Metrics

NOT_TURNING_S = 60.0
CLIENT_S = 5.0
STOP_S = 0.1
TEXT = "text/plain; charset=utf-8"
OK, NOT_FOUND, NOT_NOW = 200, 404, 503

log = logs.logger("tailstream")


def add_pages(
    app: Any,
    *,
    metrics: Metrics,
    silent_s: Callable[[], float],
    ready: Callable[[], bool],
    measure: Callable[[], Awaitable[None]],
) -> None:
    """Serve `/livez`, `/readyz` and `/metrics`.

    `silent_s` is how long the poll thread has not turned; that a page answers at all shows that
    the loop turns. `measure` sets the gauges: they and the counters are of one moment, because
    nothing else runs on the loop until both are written out.
    """

    @app.page("/livez")  # type: ignore[untyped-decorator]  # faust is untyped
    async def livez(web: Any, request: Any) -> Any:
        del request
        turning = silent_s() < NOT_TURNING_S
        text, status = ("ok\n", OK) if turning else ("not polling\n", NOT_NOW)
        return web.text(text, status=status)

    @app.page("/readyz")  # type: ignore[untyped-decorator]  # faust is untyped
    async def readyz(web: Any, request: Any) -> Any:
        del request
        text, status = ("ok\n", OK) if ready() else ("restoring, or not assigned yet\n", NOT_NOW)
        return web.text(text, status=status)

    @app.page("/metrics")  # type: ignore[untyped-decorator]  # faust is untyped
    async def serve_metrics(web: Any, request: Any) -> Any:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        await measure()
        return web.bytes(
            encode(metrics.registry), content_type=None, headers={"Content-Type": content_type}
        )


@contextmanager
def served_pages(
    host: str,
    port: int,
    metrics: Metrics,
    *,
    silent_s: Callable[[], float],
    not_ready: Callable[[], str],
) -> Iterator[None]:
    """Serve the same pages from a thread. `not_ready` says why not, and nothing when it is.

    Raises:
        OSError: the port cannot be listened on.
    """

    class Pages(BaseHTTPRequestHandler):
        timeout = CLIENT_S

        def do_GET(self) -> None:
            path, accept = self.path.partition("?")[0], self.headers.get("Accept", "")
            status, content_type, body = _page(path, accept, metrics, silent_s, not_ready)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing, as Faust does: probes come every few seconds."""

    class Server(socketserver.ThreadingTCPServer):
        address_family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        allow_reuse_address = True
        daemon_threads = True
        # With the library's 5 a handful of clients at once makes a probe wait for seconds.
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            """Say nothing of who hung up: the library would print a traceback for each."""
            if not isinstance(sys.exception(), OSError):
                log.error("a page failed", exc_info=sys.exception())

    with Server(Server.address, Pages) as server:  # type: ignore[arg-type]  # IPv6's has four parts
        threading.Thread(target=server.serve_forever, args=(STOP_S,), daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def waiting_pages(host: str, port: int, metrics: Metrics, why: str) -> AbstractContextManager[None]:
    """Serve the pages of who is alive, and not ready, for the reason `why`."""
    return served_pages(host, port, metrics, silent_s=lambda: 0.0, not_ready=lambda: why)


def _page(
    path: str,
    accept: str,
    metrics: Metrics,
    silent_s: Callable[[], float],
    not_ready: Callable[[], str],
) -> tuple[int, str, bytes]:
    match path:
        case "/livez":
            turning = silent_s() < NOT_TURNING_S
            return (OK, TEXT, b"ok\n") if turning else (NOT_NOW, TEXT, b"not polling\n")
        case "/readyz":
            why = not_ready()
            return (NOT_NOW, TEXT, f"{why}\n".encode()) if why else (OK, TEXT, b"ok\n")
        case "/metrics":
            encode, content_type = choose_encoder(accept)
            return OK, content_type, encode(metrics.registry)
    return NOT_FOUND, TEXT, b"not found\n"
