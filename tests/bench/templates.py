"""Services of the reference corpus: their resource, and kinds of spans, as OTLP bytes."""

from dataclasses import dataclass
from random import Random

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

SERVICES = (
    *("frontend", "gateway", "checkout", "payment", "catalogue", "inventory"),
    *("shipping", "ledger", "recommendation", "email", "currency", "accounts"),
)
KINDS_A_SERVICE = 48
ATTRIBUTES = 10
KINDS = (Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
ROUTES = ("/api/v1/orders/{id}", "/api/v1/carts/{id}/lines", "/api/v2/products/{id}", "/healthz")
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15",
    "python-requests/2.34.2",
)


@dataclass(frozen=True, slots=True)
class SpanKind:
    """A span's fields but for ids, tracestate, times and status: what goes between them."""

    name: bytes
    rest: bytes


@dataclass(frozen=True, slots=True)
class Service:
    """A service: its envelope around spans, and the kinds of spans that it makes."""

    resource: bytes
    scope: bytes
    kinds: list[SpanKind]

    def record(self, spans: list[bytes]) -> bytes:
        """Return `TracesData` of these spans' contents below this resource."""
        fields = b"".join([b"\x12" + _varint(len(span)) + span for span in spans])
        scope = self.scope + fields
        content = self.resource + b"\x12" + _varint(len(scope)) + scope
        return b"\x0a" + _varint(len(content)) + content


def services(rng: Random, *, attributes: int = ATTRIBUTES) -> list[Service]:
    """Return twelve services with spans of their own, of so many attributes."""
    return [_service(name, rng, attributes) for name in SERVICES]


def trace_state(rng: Random) -> bytes:
    """Return the tracestate that all spans of a trace carry, as their field."""
    return Span(trace_state=f"vendor={rng.randbytes(14).hex()}").SerializeToString()


def _service(name: str, rng: Random, attributes: int) -> Service:
    resource = ResourceSpans(resource=Resource(attributes=_resource_attributes(name, rng)))
    scope = ScopeSpans(scope=InstrumentationScope(name=f"io.example.{name}.http", version="1.30.0"))
    kinds = [_kind(name, rng, attributes) for _ in range(KINDS_A_SERVICE)]
    return Service(resource.SerializeToString(), scope.SerializeToString(), kinds)


def _resource_attributes(name: str, rng: Random) -> list[KeyValue]:
    pod = f"{name}-{rng.randbytes(5).hex()}-{rng.randbytes(3).hex()[:5]}"
    return [
        _attribute("service.name", name),
        _attribute("service.namespace", "shop"),
        _attribute("service.version", f"2.{rng.randrange(40)}.{rng.randrange(9)}"),
        _attribute("service.instance.id", rng.randbytes(16).hex()),
        _attribute("deployment.environment.name", "production"),
        _attribute("host.name", f"node-{rng.randrange(400)}.eu-central-1.compute.internal"),
        _attribute("k8s.pod.name", pod),
        _attribute("k8s.namespace.name", "shop"),
        _attribute("cloud.region", "eu-central-1"),
        _attribute("telemetry.sdk.language", "java"),
        _attribute("telemetry.sdk.name", "opentelemetry"),
        _attribute("telemetry.sdk.version", "1.52.0"),
    ]


def _kind(service: str, rng: Random, attributes: int) -> SpanKind:
    route = rng.choice(ROUTES)
    path = route.replace("{id}", str(rng.randrange(10**8)))
    rest = Span(
        attributes=[
            _attribute("http.request.method", rng.choice(("GET", "POST", "PUT"))),
            _attribute("http.route", route),
            _attribute("url.full", f"https://{service}.shop.example.com{path}?page={rng.random()}"),
            _attribute("http.response.status_code", rng.choice((200, 200, 201, 204, 404))),
            _attribute("server.address", f"{service}.shop.svc.cluster.local"),
            _attribute("server.port", rng.choice((80, 443, 8080))),
            _attribute("client.address", ".".join(str(rng.randrange(256)) for _ in range(4))),
            _attribute("user_agent.original", rng.choice(AGENTS)),
            _attribute("code.function.name", f"com.example.{service}.Controller.handle"),
            _attribute("thread.id", rng.randrange(400)),
        ]
    )
    for number in range(len(rest.attributes), attributes):
        rest.attributes.append(_attribute(f"app.order.field_{number}", rng.randbytes(8).hex()))
    del rest.attributes[attributes:]
    if rng.random() < 0.5:
        rest.events.add(name="cache.lookup", time_unix_nano=1).attributes.append(
            _attribute("cache.key", rng.randbytes(12).hex())
        )
    name = Span(name=f"{rng.choice(('GET', 'POST'))} {route}", kind=rng.choice(KINDS))
    return SpanKind(name.SerializeToString(), rest.SerializeToString())


def _attribute(key: str, value: str | int) -> KeyValue:
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
