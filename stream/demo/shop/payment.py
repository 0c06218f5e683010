"""The payment service: it has each checkout authorised by the payment service provider."""

from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from stream.demo.shop.http_spans import post, server_spans
from stream.demo.shop.tracing import Tracing

OK = 200
BAD_GATEWAY = 502
SESSION = web.AppKey("session", aiohttp.ClientSession)


def payment(tracing: Tracing, psp_url: str) -> web.Application:
    """Return the application: `POST /charge` with `{"number": 17}`."""

    async def charge(request: web.Request) -> web.Response:
        session = request.app[SESSION]
        status, answer = await post(session, tracing.tracer, psp_url, await request.json())
        return web.Response(
            status=OK if status == OK else BAD_GATEWAY,
            body=answer,
            content_type="application/json",
        )

    application = web.Application(middlewares=[server_spans(tracing.tracer)])
    application.cleanup_ctx.append(client_session)
    application.router.add_post("/charge", charge)
    return application


async def client_session(application: web.Application) -> AsyncIterator[None]:
    """Give the application a session for its calls while it runs."""
    async with aiohttp.ClientSession() as session:
        application[SESSION] = session
        yield
