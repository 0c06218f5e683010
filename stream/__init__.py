"""Tailstream: a streaming tail sampler on Kafka.

The package, read downwards; imports go downwards only (`tests/test_tidy.py` holds the list):

cli/          one file per command of `tailstream`
app.py        composition root: settings -> Faust app: the agent, tables, timers, pages
settings/     one frozen model, checked whole at start; environment; the Collector's YAML
host.py       drives the worker's protocol on Faust's loop, with the real clients
timers.py     what a worker does again and again
promoting.py  rounds of promotions: dropped traces, read again and given to their partitions
lookout.py    what a worker looks after besides its own partitions
unattended.py lag of partitions that nobody reads, told by who reads others
unclaimed.py  partitions that the group gave to nobody: joins anew to have them divided
ownership.py  whether the group has said what is ours
restoring.py  brings assigned partitions to be ready, in two phases, and tells of their replay
decide.py     the worker's core on files, without Kafka
explain.py    why a trace was kept or dropped, in words, from its decision records
compare.py    which traces two kept topics have in common
demo/         the load generator, the story that `tailstream demo` tells, the shop of services
exemplars/    metrics' exemplars to pins: OTLP on Kafka, Prometheus, OpenMetrics endpoints
export/       kept traces to a backend over OTLP/HTTP
rekey.py      a topic that is not keyed by trace id, brought to the input
companion.py  what these three measure alike: their counts, their group's lag
worker/       the protocol: partitions, transactions, restore; no client calls
kafka/        the only user of confluent_kafka: Faust transport, producer, offsets, topics
state/        span store and decision store: memory, RocksDB, and their Faust tables
sampling/     the core: a function of its inputs; no I/O, clock, Kafka, Faust or metrics
assembly/     trace assembly for reading: spans to a tree, drawn and as JSON; no I/O
otlp/         bytes: scan, split, merge, stamp
propagation/  for applications: context over headers and threads, span links, exporters to Kafka
metrics.py    every Prometheus metric, declared once, with the accounting law
clock.py      the only module that reads the time
compiled.py   which core runs: the compiled one, or its pure-Python twin
logs.py       structured logging, set up once
printable.py  text from elsewhere, made fit for a terminal
testing/      the test kit: builders, a hand-moved clock, an in-memory log
"""
