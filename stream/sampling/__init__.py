"""The core: a function of its inputs. No I/O, no clock, no Kafka, no Faust, no metrics."""
