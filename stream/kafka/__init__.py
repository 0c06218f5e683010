"""Everything that talks to Kafka; the only user of confluent_kafka."""
