"""HTTP spans for aiohttp by the current conventions, and trace context in the headers between them.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/ (stable). The incoming headers of trace
context are kept on the SERVER span (`http.request.header.traceparent`), so that a reader of the
spans alone sees what came over the wire and what the service made of it.
"""

from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from opentelemetry import context as contexts
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
    user_agent_attributes,
)
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from stream.propagation.carry import extract, inject_http
from stream.propagation.headers import text_of

Attributes = dict[str, str | int | list[str]]

CAPTURED = ("traceparent", "tracestate")
SERVER_ERROR = 500
CLIENT_ERROR = 400
"""From this status on the caller's span failed, from `SERVER_ERROR` on the server's, too."""


def server_spans(tracer: Tracer) -> Middleware:
    """Return a middleware that runs every request in a SERVER span of the caller's trace."""

    @web.middleware
    async def in_a_span(request: web.Request, handler: Handler) -> web.StreamResponse:
        incoming = extract(request.headers)
        # Attached whole: the span alone would leave the baggage behind.
        token = contexts.attach(incoming)
        try:
            with tracer.start_as_current_span(
                _name(request),
                incoming,
                SpanKind.SERVER,
                _of_request(request),
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                return await _answered(span, request, handler)
        finally:
            contexts.detach(token)

    return in_a_span


async def post(
    session: aiohttp.ClientSession, tracer: Tracer, url: str, body: Any
) -> tuple[int, bytes]:
    """POST a body as JSON, in a CLIENT span whose context goes along; return status and answer.

    Raises:
        aiohttp.ClientError: there was no answer. The span says so.
    """
    with tracer.start_as_current_span(
        "POST", kind=SpanKind.CLIENT, attributes=_of_call(url)
    ) as span:
        try:
            async with session.post(url, json=body, headers=inject_http()) as answer:
                _say_status(span, answer.status, failed=answer.status >= CLIENT_ERROR)
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError) as problem:
            span.set_attribute(error_attributes.ERROR_TYPE, type(problem).__qualname__)
            raise


async def _answered(span: Span, request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as answer:  # aiohttp's way to answer 404 and the like
        _say_status(span, answer.status, failed=answer.status >= SERVER_ERROR)
        raise
    except Exception as problem:
        _say_status(span, SERVER_ERROR, failed=True)
        span.set_attribute(error_attributes.ERROR_TYPE, type(problem).__qualname__)
        span.record_exception(problem)
        raise
    _say_status(span, response.status, failed=response.status >= SERVER_ERROR)
    return response


def _say_status(span: Span, status: int, *, failed: bool) -> None:
    span.set_attribute(http_attributes.HTTP_RESPONSE_STATUS_CODE, status)
    if failed:
        span.set_attribute(error_attributes.ERROR_TYPE, str(status))
        span.set_status(Status(StatusCode.ERROR))


def _name(request: web.Request) -> str:
    route = _route(request)
    return f"{request.method} {route}" if route else request.method


def _route(request: web.Request) -> str | None:
    resource = request.match_info.route.resource
    return None if resource is None else resource.canonical


def _of_request(request: web.Request) -> Attributes:
    attributes: Attributes = {
        http_attributes.HTTP_REQUEST_METHOD: request.method,
        url_attributes.URL_SCHEME: request.scheme,
        url_attributes.URL_PATH: request.path,
        network_attributes.NETWORK_PROTOCOL_VERSION: ".".join(map(str, request.version)),
        server_attributes.SERVER_ADDRESS: request.url.host or "",
        server_attributes.SERVER_PORT: request.url.port or 0,
    }
    if route := _route(request):
        attributes[http_attributes.HTTP_ROUTE] = route
    if request.query_string:
        attributes[url_attributes.URL_QUERY] = request.query_string
    if agent := request.headers.get("User-Agent"):
        attributes[user_agent_attributes.USER_AGENT_ORIGINAL] = text_of(agent)
    for name in CAPTURED:
        if values := request.headers.getall(name, []):
            key = f"{http_attributes.HTTP_REQUEST_HEADER_TEMPLATE}.{name}"
            attributes[key] = [text_of(value) for value in values]
    return attributes


def _of_call(url: str) -> Attributes:
    target = urlsplit(url)
    return {
        http_attributes.HTTP_REQUEST_METHOD: "POST",
        url_attributes.URL_FULL: url,
        server_attributes.SERVER_ADDRESS: target.hostname or "",
        server_attributes.SERVER_PORT: target.port or 0,
    }
