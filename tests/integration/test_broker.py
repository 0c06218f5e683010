"""The test broker itself: what the tests of crashes lean on."""

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.harness.broker import Broker
from tests.harness.topics import create_topics

pytestmark = pytest.mark.integration


def test_an_acknowledged_record_survives_kill_and_restart_of_the_broker(own_broker: Broker) -> None:
    client = {"bootstrap.servers": own_broker.bootstrap, "log_level": 0}
    create_topics(own_broker.bootstrap, ["survivor"], partitions=1)
    producer = Producer({**client, "acks": "all"})
    producer.produce("survivor", b"still here")
    assert producer.flush(30) == 0

    own_broker.kill()
    own_broker.start()
    own_broker.stop()
    own_broker.start()

    assert _first_value(client, "survivor") == b"still here"


def _first_value(client: dict[str, object], topic: str) -> bytes | None:
    consumer = Consumer({**client, "group.id": "reader", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        value: bytes | None = message.value()
        return value
    finally:
        consumer.close()
