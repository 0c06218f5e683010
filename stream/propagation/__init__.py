"""Trace context for applications: over Kafka and HTTP, with spans that are linked across a queue.

Context in and out of headers, Kafka's or HTTP's:

    headers = inject(headers)                  # new list[(str, bytes)]; context: the current one
    context = extract(message.headers())       # never raises; bad headers are as good as none
    async with session.get(url, headers=inject_http()): ...

Spans, one KafkaSpans a client. It sets nothing up: where spans go is what the application has
configured OpenTelemetry to do, and without that nothing is recorded.

    spans = KafkaSpans(bootstrap_servers="kafka:9092", group="shipping")

Sending makes a span `send T`, and the message's headers name it:

    from stream.propagation.confluent import TracedProducer     # or .aiokafka, the same name
    producer = TracedProducer(Producer(config), spans)
    producer.produce("orders", value, key="42")                 # await producer.send(...)

    from stream.propagation.faust import TracedTopic
    await TracedTopic(app.topic("orders"), spans).send(key="42", value=order)

Processing makes a span `process T`, linked to the span that sent the message. It takes messages of
confluent-kafka, records of aiokafka, events of Faust:

    with spans.process(message): ...                            # one message
    with spans.process(message, parent=True): ...               # its child, if you insist
    with spans.process_batch(consumer.consume(100, 1.0)): ...   # one span, a link for each message

    async for event in stream.events():                         # in a Faust agent
        with spans.process(event): ...

And a span `poll T`, for who wants to see how long it took:

    with spans.poll() as polled:
        messages = polled.got(consumer.consume(100, 1.0))

Not on its way to a message, and without headers: `boundaries` carries the context into threads,
executors, queues and callbacks; `span_exporter` and `metric_exporter` write to Tailstream's topics.

For libraries that ask OpenTelemetry's global propagator, an application sets it once:

    set_global_textmap(CompositePropagator([TraceContextPropagator(), W3CBaggagePropagator()]))
"""

from stream.propagation.carry import extract, inject, inject_http
from stream.propagation.headers import AnyHeaders, HeadersGetter, KafkaHeaders
from stream.propagation.polled import Polled
from stream.propagation.received import Message, Received
from stream.propagation.sending import Sending
from stream.propagation.spans import KafkaSpans
from stream.propagation.trace_context import TraceContextPropagator
from stream.propagation.trace_state import W3CTraceState

__all__ = [
    "AnyHeaders",
    "HeadersGetter",
    "KafkaHeaders",
    "KafkaSpans",
    "Message",
    "Polled",
    "Received",
    "Sending",
    "TraceContextPropagator",
    "W3CTraceState",
    "extract",
    "inject",
    "inject_http",
]
