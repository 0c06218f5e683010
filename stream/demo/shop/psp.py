"""The payment service provider: it decides how a checkout goes, and takes its time."""

import asyncio

from aiohttp import web

from stream.demo.shop.fate import Fate, Fates
from stream.demo.shop.http_spans import server_spans
from stream.demo.shop.tracing import Tracing

UNAVAILABLE = 503


def psp(tracing: Tracing, fates: Fates) -> web.Application:
    """Return the application: `POST /authorise` with `{"number": 17}`."""

    async def authorise(request: web.Request) -> web.Response:
        fate = fates.of((await request.json())["number"])
        await asyncio.sleep(fates.takes_s(fate))
        if fate is Fate.REFUSED:
            return web.json_response({"reason": "the acquirer does not answer"}, status=UNAVAILABLE)
        return web.json_response({"authorised": True})

    application = web.Application(middlewares=[server_spans(tracing.tracer)])
    application.router.add_post("/authorise", authorise)
    return application
