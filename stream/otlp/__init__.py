"""OTLP as bytes: scan a record once, split it by trace, merge and stamp what is kept."""
