"""The shop whose traces the generator makes: its services, and what each request calls.

Span names, kinds and attributes follow OpenTelemetry's semantic conventions for HTTP, databases
and messaging. The times are self-times, so a trace lasts as long as its operations together: every
ordinary trace stays well below `SLOW_MS`, and one slow operation lifts its trace above it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Value = str | int | float | bool

INTERNAL, SERVER, CLIENT, PRODUCER = 1, 2, 3, 4
"""Values of OTLP's `Span.SpanKind`."""

SLOW_MS = 1000
"""A slow trace takes longer than this, every other one less (see `stream.demo.template`)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One instrumentation scope of one service: its spans travel in records of their own."""

    service: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Failure:
    """How an operation fails: its exception, and the attributes that change with it."""

    exception: str
    message: str
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One span of a trace, and the calls that it makes one after the other.

    `self_ms` is the typical time spent outside the calls. `choices` are attributes with several
    possible values. `failure` makes the operation one that can fail, `can_stall` one that can be
    the reason for a slow trace. `failed` are attributes it has if one of its calls failed.
    """

    scope: Scope
    name: str
    kind: int
    self_ms: float
    attributes: Mapping[str, Value] = field(default_factory=dict)
    choices: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    calls: tuple["Operation", ...] = ()
    failure: Failure | None = None
    failed: Mapping[str, Value] = field(default_factory=dict)
    can_stall: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A kind of trace: its root, how often it is made, and how often if the trace has a fault."""

    root: Operation
    weight: int
    faulty_weight: int


INSTANCES = 3
"""Replicas of each service: the spans of one trace come from one of them."""

LANGUAGES = {
    "gateway": "go",
    "catalog": "java",
    "search": "python",
    "cart": "nodejs",
    "payment": "java",
    "psp": "dotnet",
    "ledger": "java",
    "inventory": "python",
    "shipping": "go",
}
"""The services, by the language of their SDK."""

_GATEWAY = Scope(
    "gateway", "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "0.63.0"
)
_CATALOG = Scope("catalog", "io.opentelemetry.spring-webmvc-6.0", "2.20.0")
_SEARCH = Scope("search", "opentelemetry.instrumentation.fastapi", "0.58b0")
_CART = Scope("cart", "@opentelemetry/instrumentation-http", "0.205.0")
_PAYMENT = Scope("payment", "io.opentelemetry.spring-webmvc-6.0", "2.20.0")
_PSP = Scope("psp", "Microsoft.AspNetCore", "9.0.0")
_LEDGER = Scope("ledger", "io.opentelemetry.jdbc", "2.20.0")
_INVENTORY = Scope("inventory", "opentelemetry.instrumentation.fastapi", "0.58b0")
_INVENTORY_SQL = Scope("inventory", "opentelemetry.instrumentation.sqlalchemy", "0.58b0")
_SHIPPING = Scope("shipping", "github.com/twmb/franz-go/plugin/kotel", "1.6.0")

_OK: dict[str, Value] = {"http.response.status_code": 200}
_BAD_GATEWAY: dict[str, Value] = {"http.response.status_code": 502, "error.type": "502"}
_TIERS: tuple[Value, ...] = ("guest", "member", "gold")


def _served(scope: Scope, method: str, route: str, self_ms: float, *calls: Operation) -> Operation:
    return Operation(
        scope,
        f"{method} {route}",
        SERVER,
        self_ms,
        attributes={
            "http.request.method": method,
            "http.route": route,
            "url.scheme": "https",
            "server.address": f"{scope.service}.shop.example",
            "network.protocol.version": "1.1",
            **_OK,
        },
        choices={"shop.customer.tier": _TIERS} if scope is _GATEWAY else {},
        calls=calls,
        failed=_BAD_GATEWAY,
    )


def _called(scope: Scope, method: str, to: str, self_ms: float, *calls: Operation) -> Operation:
    return Operation(
        scope,
        method,
        CLIENT,
        self_ms,
        attributes={
            "http.request.method": method,
            "server.address": f"{to}.shop.example",
            "server.port": 8080,
            **_OK,
        },
        calls=calls,
        failed=_BAD_GATEWAY,
    )


def _queried(scope: Scope, system: str, name: str, self_ms: float, statement: str) -> Operation:
    return Operation(
        scope,
        name,
        CLIENT,
        self_ms,
        attributes={
            "db.system.name": system,
            "db.namespace": scope.service,
            "db.query.text": statement,
            "server.address": f"{scope.service}-db.shop.example",
        },
        failure=Failure(
            "TimeoutError",
            f"no answer from {scope.service}-db within 500 ms",
            {"error.type": "TimeoutError"},
        ),
        can_stall=True,
    )


_AUTHORISE = Operation(
    _PSP,
    "authorise",
    SERVER,
    60,
    attributes={"http.request.method": "POST", "http.route": "/authorise", **_OK},
    choices={
        "shop.payment.method": ("card", "wallet", "transfer"),
        "shop.payment.currency": ("EUR", "GBP", "USD"),
    },
    failure=Failure(
        "Psp.AuthorisationException",
        "acquirer refused: do not honour",
        {"http.response.status_code": 503, "error.type": "503"},
    ),
    can_stall=True,
)

_CHARGE = Operation(
    _PAYMENT,
    "charge",
    SERVER,
    25,
    attributes={"http.request.method": "POST", "http.route": "/charge", **_OK},
    choices={"shop.order.lines": (1, 2, 3, 5)},
    calls=(
        _AUTHORISE,
        _queried(
            _LEDGER, "postgresql", "INSERT entries", 9, "INSERT INTO entries VALUES (?, ?, ?)"
        ),
    ),
    failed=_BAD_GATEWAY,
)

_RESERVE = Operation(
    _INVENTORY,
    "reserve",
    SERVER,
    8,
    attributes={"http.request.method": "POST", "http.route": "/reserve", **_OK},
    calls=(
        _queried(
            _INVENTORY_SQL,
            "postgresql",
            "UPDATE stock",
            12,
            "UPDATE stock SET held = held + ? WHERE sku = ? AND free >= ?",
        ),
    ),
    failure=Failure(
        "OutOfStockError",
        "sku is sold out",
        {"http.response.status_code": 500, "error.type": "500"},
    ),
    failed=_BAD_GATEWAY,
)

_SHIP = Operation(
    _SHIPPING,
    "orders publish",
    PRODUCER,
    6,
    attributes={
        "messaging.system": "kafka",
        "messaging.destination.name": "orders",
        "messaging.operation.type": "send",
    },
    choices={"messaging.destination.partition.id": ("0", "1", "2", "3")},
)

REQUESTS = (
    Request(
        _served(
            _GATEWAY,
            "GET",
            "/products/{id}",
            4,
            _called(
                _GATEWAY,
                "GET",
                "catalog",
                2,
                _served(
                    _CATALOG,
                    "GET",
                    "/v1/products/{id}",
                    7,
                    _queried(
                        _CATALOG,
                        "mysql",
                        "SELECT products",
                        11,
                        "SELECT * FROM products WHERE id = ?",
                    ),
                ),
            ),
        ),
        weight=45,
        faulty_weight=20,
    ),
    Request(
        _served(
            _GATEWAY,
            "GET",
            "/search",
            5,
            _called(
                _GATEWAY,
                "GET",
                "search",
                2,
                _served(
                    _SEARCH,
                    "GET",
                    "/v1/search",
                    10,
                    _queried(
                        _SEARCH, "opensearch", "search products", 45, '{"query": {"match": "?"}}'
                    ),
                    Operation(
                        _SEARCH, "rank", INTERNAL, 18, choices={"shop.rank.model": ("a", "b")}
                    ),
                ),
            ),
        ),
        weight=20,
        faulty_weight=15,
    ),
    Request(
        _served(
            _GATEWAY,
            "POST",
            "/cart",
            4,
            _called(
                _GATEWAY,
                "POST",
                "cart",
                2,
                _served(
                    _CART,
                    "POST",
                    "/v1/cart",
                    6,
                    _queried(_CART, "redis", "HSET", 2, "HSET cart:? ? ?"),
                ),
            ),
        ),
        weight=20,
        faulty_weight=5,
    ),
    Request(
        _served(_GATEWAY, "POST", "/checkout", 12, _RESERVE, _CHARGE, _SHIP),
        weight=12,
        faulty_weight=55,
    ),
    Request(
        Operation(
            _LEDGER,
            "reconcile",
            INTERNAL,
            40,
            calls=(
                _queried(
                    _LEDGER,
                    "postgresql",
                    "SELECT entries",
                    60,
                    "SELECT * FROM entries WHERE day = ?",
                ),
                _AUTHORISE,
            ),
        ),
        weight=3,
        faulty_weight=5,
    ),
)
"""Every kind of trace of the shop. The weights give about five spans and three records a trace."""
