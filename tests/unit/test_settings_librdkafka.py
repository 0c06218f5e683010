"""The names that are known below `kafka.` are librdkafka's own."""

import json
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer

from stream.kafka.client_settings import (
    Membership,
    connection,
    consumer_settings,
    producer_settings,
)
from stream.kafka.refused_values import refused_value
from stream.settings.errors import SettingsError
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
    ("name", "value"),
    [
        *(("bootstrap.servers", "a:9092"), ("client.id", 5), ("linger.ms", 2.5)),
        *(("message.max.bytes", 1_000_001), ("message.max.bytes", "1000001")),
        *(("fetch.min.bytes", 1), ("queued.min.messages", 100_000), ("test.mock.num.brokers", 3)),
        *(("socket.keepalive.enable", True), ("socket.keepalive.enable", "true")),
        *(("ssl.ca.location", "5MB.pem"), ("client.dns.lookup", "use_all_dns_ips")),
        *(
            ("broker.address.family", "v4"),
            ("debug", "broker,topic"),
            ("plugin.library.paths", "x"),
        ),
    ],
)
def test_what_librdkafka_takes_is_let_through(name: str, value: object) -> None:
    overrides = [f"kafka.{name}={json.dumps(value)}", "kafka.security.protocol=SSL"]
    assert load(None, overrides, {}).kafka[name] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("fetch.min.bytes", "lots"), ("fetch.max.bytes", "10MB"), ("linger.ms", "5ms")),
        *(("queued.min.messages", "5 k"), ("retries", -1), ("message.max.bytes", 10**12)),
        *(("fetch.min.bytes", True), ("socket.keepalive.enable", "maybe")),
        *(("client.dns.lookup", "all"), ("debug", "everything"), ("test.mock.num.brokers", "3x")),
    ],
)
def test_what_librdkafka_does_not_take_or_would_read_as_less_is_refused(
    name: str, value: str | int
) -> None:
    assert refused_value(name, value)
    with pytest.raises(SettingsError, match=rf"^kafka\.{name} = .*: .*; (write|see) "):
        load(None, [f"kafka.{name}={json.dumps(value)}"], {})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "kafka.sasl.mechanism: missing"),
        (["mechanism=plain"], 'kafka.sasl.mechanism = "plain": no such choice'),
        (["mechanism=PLAIN", "username=u"], "kafka.sasl.password: missing: PLAIN needs it"),
        (["mechanisms=SCRAM-SHA-512"], "kafka.sasl.username: missing: SCRAM-SHA-512 needs it"),
    ],
)
def test_a_login_that_lacks_something_is_refused(given: list[str], said: str) -> None:
    overrides = [f"kafka.sasl.{each}" for each in given]
    with pytest.raises(SettingsError) as refused:
        load(None, ["kafka.security.protocol=SASL_SSL", *overrides], {})
    assert str(refused.value).startswith(said)
    assert "; write " in str(refused.value)


@pytest.mark.parametrize(
    "given", [["mechanism=OAUTHBEARER"], ["mechanism=GSSAPI"], ["kerberos.principal=me"]]
)
def test_a_login_without_a_password_needs_none(given: list[str]) -> None:
    overrides = [f"kafka.sasl.{each}" for each in given]
    assert load(None, ["kafka.security.protocol=SASL_PLAINTEXT", *overrides], {})


def test_what_oidc_takes_reaches_every_client_as_it_was_written(tmp_path: Path) -> None:
    oidc = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "tailstream",
        "sasl.oauthbearer.client.secret": "of the client",
        "sasl.oauthbearer.token.endpoint.url": "https://identity.example/token",
        "sasl.oauthbearer.scope": "kafka",
        "sasl.oauthbearer.extensions": "logicalCluster=lkc-1,identityPoolId=pool-1",
        "https.ca.location": "probe",
    }
    file = tmp_path / "tailstream.yaml"
    file.write_text(json.dumps({"kafka": oidc}))
    kafka = load(file, [], {}).kafka
    member = Membership("g", "w", static=False, session_timeout_s=10)

    for settings in (
        connection(kafka),
        consumer_settings(kafka, member),
        producer_settings(kafka, member, compression="lz4", transaction_timeout_s=30),
    ):
        assert oidc.items() <= settings.items()
    Consumer({**connection(kafka), "group.id": "g"}).close()  # librdkafka takes it


def test_every_name_that_is_ours_says_what_to_do() -> None:
    assert all(remedy for remedy in OWNED.values())
