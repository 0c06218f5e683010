"""The last mile: kept traces from the output topic to a backend, over OTLP/HTTP, at least once."""
