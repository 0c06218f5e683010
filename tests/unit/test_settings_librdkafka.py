"""The names that are known below `kafka.` are librdkafka's own."""

import pytest
from confluent_kafka import KafkaException, Producer

from stream.settings.kafka import OWNED
from stream.settings.librdkafka import LIBRDKAFKA_NAMES
from stream.settings.load import load

# `plugin.library.paths` would load a library of the given name, `debug` writes to stderr.
ASKED = sorted(LIBRDKAFKA_NAMES - {"plugin.library.paths"})


def is_known_to_librdkafka(name: str) -> bool:
    # A second, impossible setting keeps the client from being made whatever the first one does.
    try:
        Producer({name: "1", "message.max.bytes": "impossible"})
    except KafkaException as error:
        return f'No such configuration property: "{name}"' not in str(error)
    except (TypeError, ValueError):
        return True  # the Python client checks the type of a name it knows
    raise AssertionError("librdkafka took an impossible size")


def test_librdkafka_knows_every_name_that_is_let_through() -> None:
    assert not is_known_to_librdkafka("no.such.name")
    assert [name for name in ASKED if not is_known_to_librdkafka(name)] == []


@pytest.mark.parametrize(
    "name",
    [
        *("bootstrap.servers", "client.id", "linger.ms", "message.max.bytes", "sasl.mechanism"),
        *("ssl.ca.location", "fetch.min.bytes", "queued.min.messages", "test.mock.num.brokers"),
    ],
)
def test_the_names_people_need_are_let_through(name: str) -> None:
    protocol = "kafka.security.protocol=SASL_SSL"
    assert load(None, [f"kafka.{name}=1000001", protocol], {}).kafka[name] == 1000001


def test_every_name_that_is_ours_says_what_to_do() -> None:
    assert all(remedy for remedy in OWNED.values())
