"""What a span, a resource or a scope may hold that somebody may read otherwise than we do."""

from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.conformance.dice import Dice

MS: Final = 1_000_000
BASE_NS: Final = 1_700_000_000_000_000_000


def _text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def _int(value: int) -> AnyValue:
    return AnyValue(int_value=value)


def _double(value: float) -> AnyValue:
    return AnyValue(double_value=value)


def _map(**values: AnyValue) -> AnyValue:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return AnyValue(kvlist_value=KeyValueList(values=pairs))


def _list(*values: AnyValue) -> AnyValue:
    return AnyValue(array_value=ArrayValue(values=values))


TRUE, FALSE = AnyValue(bool_value=True), AnyValue(bool_value=False)
MAP: Final = _map(inner=_text("deep"), n=_int(7), more=_map(leaf=TRUE))
LIST: Final = _list(_text("a"), _int(5), _list(_text("a")))

EVERY_TYPE: Final = (
    *(_text(text) for text in ("", "5", "a", "true", "größe", "日本", "a\nb", " a", "é")),
    *(_int(number) for number in (0, 1, 5, -5, 7, 9, 10, 2**63 - 1, -(2**63), 2**53 + 1)),
    *(_double(number) for number in (0.0, -0.0, 5.0, 5.5, 1e300, float("nan"), float("inf"))),
    *(TRUE, FALSE, MAP, LIST, _map(), _list()),
    *(AnyValue(bytes_value=octets) for octets in (b"", b"5", b"\xff\x00")),
    AnyValue(),
)
"""Values of an attribute `mixed`, and of a few others: each type, and its edges."""

_ROUTES: Final = ("/cart", "/cart/pay", "/health", "/größe", "", "/CART", "x/health/y", "/日本/pay")
_CODES: Final = (_int(200), _int(404), _int(500), _int(503), _double(500.0), _text("500"), _int(0))
_TENANTS: Final = ("acme", "beta", "", "größe", "acme ")
_FLAGS: Final = (TRUE, TRUE, FALSE, FALSE, _text("true"), _int(1), AnyValue())

_LONG: Final = "v" * 254
STATES: Final = (
    "rojo=1",
    "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
    "congo=1,rojo=2",
    "tenant@vendor=x",
    "rojo=1,rojo=2",
    "rojo=1, congo=2",
    "rojo=1 ,congo=2",
    "rojo=",
    "ROJO=1",
    "=1",
    "rojo",
    "rojo=a=b",
    ",",
    "rojo=1,",
    "rojo=größe",
    f"rojo={_LONG}",
    f"rojo={_LONG}v",
    "rojo=" + "w" * 300,
    ",".join(f"k{number}=1" for number in range(32)) + ",rojo=1",
    ",".join(f"k{number}=1" for number in range(31)) + ",rojo=1",
    " rojo=1",
    "rojo=1\t",
    "1ab=1,rojo=1",
)
"""Tracestates: W3C's, and what breaks its grammar."""

OT_STATES: Final = (
    "ot=th:8",
    "ot=th:0",
    "ot=th:c;rv:ffffffffffffff",
    "ot=rv:00000000000001",
    "ot=rv:80000000000000",
    "ot=rv:bfffffffffffff",
    "ot=rv:c0000000000000",
    "ot=rv:C0000000000000",
    "ot=rv:123",
    "ot=th:",
    "ot=th:xyz",
    "ot=th:123456789abcdef",
    "ot=foo:bar",
    "ot=foo:bar;rv:f0000000000000;th:fd",
    "ot=rv:10000000000000,rojo=1",
    "rojo=1,ot=th:4",
    "rojo=1,rojo=2,ot=th:4",
    "ot=th:4;th:8",
    "ot=",
)
"""Tracestates with the member of OpenTelemetry: th, rv, and junk."""

_EVENTS: Final = ("exception", "", "retry", "größe")
_KINDS: Final = (0, 1, 2, 3, 4, 5, 9)
_NAMES: Final = ("GET /cart", "", "größe", "日本", "step", "SELECT 1", "a" * 130)
_STATUS: Final = (0, 0, 0, 0, 1, 2, 3)
_SERVICES: Final = ("gateway", "payment", "ledger", "", "größe")


def attributes_of_span(dice: Dice) -> list[KeyValue]:
    """Return a span's attributes: few, of types that are not always the same, some twice."""
    found: list[tuple[str, AnyValue]] = []
    if dice.percent(35):
        found.append(("http.route", _text(dice.one_of(_ROUTES))))
    if dice.percent(30):
        found.append(("http.status_code", dice.one_of(_CODES)))
    if dice.percent(25):
        found.append(("mixed", dice.one_of(EVERY_TYPE)))
    if dice.percent(15):
        found.append(("flag", dice.one_of(_FLAGS)))
    if dice.percent(10):
        found.append(("tenant", _text(dice.one_of(_TENANTS))))
    if dice.percent(5):
        found.append(("map", MAP))
    if dice.percent(5):
        found.append(("", _text("empty key")))
    if found and dice.percent(8):  # a key that occurs twice
        found.append((found[0][0], dice.one_of(EVERY_TYPE)))
    return [KeyValue(key=key, value=value) for key, value in found]


def resource_of(dice: Dice) -> Resource | None:
    """Return a resource, None where a message has none."""
    if dice.percent(4):
        return None
    found = [("service.name", _text(dice.one_of(_SERVICES)))]
    if dice.percent(15):
        found.append(("tenant", _text(dice.one_of(_TENANTS))))
    if dice.percent(8):
        found.append(("mixed", dice.one_of(EVERY_TYPE)))
    if dice.percent(4):
        found.append(("flag", dice.one_of(_FLAGS)))
    if dice.percent(3):
        found.append(("http.status_code", dice.one_of(_CODES)))
    if dice.percent(3):
        found.append(found[-1])
    pairs = [KeyValue(key=key, value=value) for key, value in found]
    return Resource(attributes=pairs, dropped_attributes_count=dice.below(2))


def scope_of(dice: Dice) -> InstrumentationScope | None:
    """Return a scope, with attributes that no policy on attributes may see."""
    if dice.percent(10):
        return None
    pairs = []
    if dice.percent(30):
        pairs.append(KeyValue(key="tenant", value=_text("acme")))
    if dice.percent(30):
        pairs.append(KeyValue(key="mixed", value=_int(5)))
    name, version = dice.one_of(("http", "", "größe")), dice.one_of(("", "1.2.0"))
    return InstrumentationScope(name=name, version=version, attributes=pairs)


def events_of(dice: Dice, start_ns: int) -> list[Span.Event]:
    """Return a span's events, for most none."""
    if not dice.percent(15):
        return []
    return [
        Span.Event(
            time_unix_nano=start_ns + dice.below(3) * MS,
            name=dice.one_of(_EVENTS),
            attributes=attributes_of_span(dice),
        )
        for _ in range(1 + dice.below(2))
    ]


def dress(span: Span, dice: Dice) -> None:
    """Give a span all but its ids and times."""
    span.name = dice.one_of(_NAMES)
    span.kind = dice.one_of(_KINDS)  # type: ignore[assignment]  # unknown kinds are legal
    span.attributes.extend(attributes_of_span(dice))
    span.events.extend(events_of(dice, span.start_time_unix_nano))
    if dice.percent(15):
        span.status.code = dice.one_of(_STATUS)  # type: ignore[assignment]  # unknown ones, too
        span.status.message = dice.one_of(("", "größe"))
    if dice.percent(10):
        span.trace_state = dice.one_of(STATES if dice.percent(60) else OT_STATES)
    if dice.percent(12):
        span.flags = dice.one_of((0x000, 0x001, 0x100, 0x101, 0x300, 0x2FF))
    if dice.percent(4):
        span.links.add(trace_id=dice.octets(16), span_id=dice.octets(8))


def times_of(dice: Dice, at_ns: int) -> tuple[int, int]:
    """Return when a span of a trace of that time starts and ends."""
    kind = dice.below(40)
    if kind == 0:
        return 0, at_ns
    if kind == 1:
        return at_ns, 0
    if kind == 2:
        return 0, 0
    if kind == 3:
        return at_ns, at_ns - 20 * MS  # ends before it starts
    if kind == 4 and dice.percent(20):
        return at_ns, 2**63 + dice.below(1_000)
    start_ns = at_ns + dice.below(20) * MS
    edges = (0, 1, MS - 1, 10 * MS, 40 * MS, 50 * MS, 50 * MS - 1, 50 * MS + 1, 51 * MS, 90 * MS)
    return start_ns, start_ns + dice.one_of(edges)
