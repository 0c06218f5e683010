"""The shop: real services whose traces show context on every hop, over HTTP and over Kafka.

fate.py         what becomes of each request, by its number
samplers.py     who keeps a trace at its head: consistent probability, by a link, and a broken one
http_spans.py   SERVER and CLIENT spans for aiohttp, and the headers between them
tracing.py      one service's SDK: resource, sampler, spans to Kafka
gateway.py      takes the checkouts; payment.py and psp.py behind it
ledger.py       takes the checkouts from Kafka one at a time; shipping.py in batches
relay.py        the protocol of W3C's test harness, straight on and through Kafka
service.py      what a service is told; `python -m stream.demo.shop` is its process
serving.py      an HTTP service until it is told to end; consuming.py a consumer
processes.py    starts the services, and ends them
caller.py       the customers
run.py          a whole run: services, a worker, checkouts
evidence.py     what a run left in Kafka; seen.py a span of it
cuts.py         where traces are cut, and by whom; findings.py what else a run shows
report.py       the run, told; hop_view.py one checkout of it, hop by hop
"""
