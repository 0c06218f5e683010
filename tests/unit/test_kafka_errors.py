"""What the client's errors mean: what an outage leaves behind is waited for."""

import pytest
from confluent_kafka import KafkaError

from stream.kafka.errors import is_operators_fault, is_passing, is_unreachable

OUTAGE = {
    "the connection": KafkaError._TRANSPORT,
    "all connections": KafkaError._ALL_BROKERS_DOWN,
    # Seen in chaos: the broker was killed while watermarks were asked for.
    "a connection that was given up": KafkaError._DESTROY_BROKER,
    "no answer": KafkaError._TIMED_OUT,
    "no connection in time": KafkaError._TIMED_OUT_QUEUE,
    "its name": KafkaError._RESOLVE,
}


@pytest.mark.parametrize("code", OUTAGE.values(), ids=OUTAGE.keys())
def test_what_an_outage_gives_is_waited_for_and_is_nobodys_mistake(code: int) -> None:
    error = KafkaError(code)

    assert is_unreachable(error)
    assert is_passing(error)
    assert not is_operators_fault(error)
