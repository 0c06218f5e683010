"""The shop: real services whose traces show context on every hop, over HTTP and over Kafka.

fate.py         what becomes of each request, by its number
samplers.py     who keeps a trace at its head: consistent probability, by a link, and a broken one
http_spans.py   SERVER and CLIENT spans for aiohttp, and the headers between them
tracing.py      one service's SDK: resource, sampler, spans to Kafka
gateway.py      takes the checkouts; payment.py and psp.py behind it
ledger.py       takes the checkouts from Kafka one at a time; shipping.py in batches
relay.py        the protocol of W3C's test harness, straight on and through Kafka
service.py      what a service is told; `python -m stream.demo.shop` is its process
processes.py    starts the services, and ends them
"""
