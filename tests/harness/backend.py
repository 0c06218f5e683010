"""A backend: an OTLP/HTTP server of the standard library's, which keeps what it accepts."""

import gzip
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Reply:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    after_s: float = 0.0


Answers = Callable[[ExportTraceServiceRequest, int], Reply]
"""(request, how many came before it) -> reply."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that was killed does not read its reply."""


class LocalBackend:
    """Answers as it is told to. `accepted` are the trace ids of each request, by span."""

    def __init__(self, answers: Answers, *, port: int = 0) -> None:
        self.accepted: list[tuple[bytes, ...]] = []
        self.requests = 0
        self.seen_headers: list[dict[str, str]] = []
        self._answers = answers
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spans_by_trace(self) -> Counter[bytes]:
        with self._lock:
            return Counter(trace_id for request in self.accepted for trace_id in request)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        assert path == "/v1/traces", path
        assert headers["Content-Type"] == "application/x-protobuf"
        plain = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        message = ExportTraceServiceRequest.FromString(plain)
        with self._lock:
            before = self.requests
            self.requests += 1
            self.seen_headers.append(headers)
        reply = self._answers(message, before)
        time.sleep(reply.after_s)
        if reply.status == 200:
            with self._lock:
                self.accepted.append(tuple(trace_ids_of(message)))
        return reply

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = backend.take(self.path, dict(self.headers.items()), body)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def trace_ids_of(request: ExportTraceServiceRequest) -> list[bytes]:
    """Return the trace id of every span."""
    return [
        span.trace_id
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
