"""An application that forks after it has exported, as prefork servers do.

BOOTSTRAP TOPIC WAIT_S: how long a flush, and each process's end, waits for the broker at most.
"""

import os
import sys

from opentelemetry.sdk.trace.export import BatchSpanProcessor

from stream.propagation.delivery import Delivery
from stream.propagation.span_exporter import KafkaSpanExporter, KafkaSpanProcessor
from tests.harness.exported import tracer_into


def main(bootstrap: str, topic: str, wait_s: str) -> int:
    # What is exported stays in the client for a second.
    settings = {"bootstrap.servers": bootstrap, "linger.ms": 1000}
    limits = Delivery(shutdown_wait_s=float(wait_s))
    exporter = KafkaSpanExporter(settings, topic=topic, delivery=limits)
    # Inherited, and used by neither: to be freed by the child must not hang it.
    unused = KafkaSpanExporter(settings, topic=topic)
    processor = KafkaSpanProcessor(exporter)
    tracer = tracer_into(processor)
    tracer.start_span("before the fork").end()
    processor.force_flush(round(float(wait_s) * 1000))
    # Under way while it forks, the parent's to deliver. Nothing of it may come from the child.
    tracer.start_span("in the parent").end()
    assert BatchSpanProcessor.force_flush(processor)
    assert exporter.counts.waiting > 0

    child = os.fork()
    if not child:
        tracer.start_span("in the child").end()
        processor.shutdown()
        tell("child", exporter)
        del unused
        return 0
    _, status = os.waitpid(child, 0)
    processor.shutdown()
    tell("parent", exporter)
    return os.waitstatus_to_exitcode(status)


def tell(who: str, exporter: KafkaSpanExporter) -> None:
    counts = exporter.counts
    print(
        f"{who}: {counts.exported} of {counts.received} exported, {counts.waiting} wait", flush=True
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
