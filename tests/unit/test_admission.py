"""What a broker's refusal at the door means: which settings to mend."""

import pytest
from confluent_kafka import KafkaError

from stream.kafka.admission import remedy_at_the_door

# As librdkafka 2.16 and a Kafka 4.4 said it.
UNTRUSTED = (
    "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker "
    "certificate could not be verified"
)
NO_CERTIFICATE = (
    "Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: "
    "SSL alert number 42"
)
MECHANISM = (
    "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported "
    "mechanisms: SCRAM-SHA-512"
)


@pytest.mark.parametrize(
    ("code", "text", "named"),
    [
        (KafkaError._AUTHENTICATION, "Authentication failed", "kafka.sasl.password"),
        (KafkaError._AUTHENTICATION, MECHANISM, "kafka.sasl.mechanism"),
        (KafkaError._SSL, UNTRUSTED, "kafka.ssl.ca.location"),
        (KafkaError._SSL, NO_CERTIFICATE, "kafka.ssl.certificate.location"),
        (KafkaError._TRANSPORT, NO_CERTIFICATE, "kafka.ssl.certificate.location"),
        (KafkaError._SSL, "SSL handshake failed: wrong version number", "kafka.security.protocol"),
    ],
)
def test_a_refusal_names_the_setting_to_mend(code: int, text: str, named: str) -> None:
    assert named in remedy_at_the_door(KafkaError(code, text))


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._RESOLVE])
def test_a_broker_that_is_away_is_no_refusal(code: int) -> None:
    assert remedy_at_the_door(KafkaError(code, "Connect to 127.0.0.1:1 failed")) == ""
