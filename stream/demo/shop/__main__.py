"""`python -m stream.demo.shop PARENT SETUP`: one service, ended with the process that started it.

It writes a line with its port once it is ready, and one with its spans' account at its end.
"""

import json
import sys
from collections.abc import Callable

from stream.demo.shop.gateway import shop_gateway
from stream.demo.shop.ledger import run_ledger
from stream.demo.shop.payment import payment
from stream.demo.shop.psp import psp
from stream.demo.shop.service import Service, Setup
from stream.demo.shop.serving import serve
from stream.demo.shop.shipping import run_shipping
from stream.demo.shop.tracing import Tracing, told, tracing
from stream.demo.worker_child import end_with
from stream.propagation.span_exporter import KafkaSpanExporter


def main() -> None:
    """Run the service until SIGTERM."""
    setup = Setup.from_json(sys.argv[2])
    exporter = KafkaSpanExporter({"bootstrap.servers": setup.bootstrap}, topic=setup.spans_topic)
    with tracing(setup, exporter) as made:
        _run(setup, made, lambda port: _say({"port": port}))
    _say(told(exporter.counts))


def _run(setup: Setup, made: Tracing, ready: Callable[[int], None]) -> None:
    match setup.service:
        case Service.GATEWAY:
            application = shop_gateway(
                made,
                payment_url=setup.calls_url,
                bootstrap=setup.bootstrap,
                topic=setup.checkouts_topic,
            )
            serve(application, setup.port, ready)
        case Service.PAYMENT:
            serve(payment(made, setup.calls_url), setup.port, ready)
        case Service.PSP:
            serve(psp(made, setup.fates), setup.port, ready)
        case Service.LEDGER:
            run_ledger(setup, made, ready)
        case Service.SHIPPING:
            run_shipping(setup, made, ready)


def _say(line: dict[str, int]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201 - to the process that reads it


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    main()
