"""What our clients are told, on top of what the operator gave."""

import pytest

from stream.kafka.client_settings import (
    Membership,
    connection,
    consumer_settings,
    producer_settings,
)

KAFKA = {
    "bootstrap.servers": "b:9092",
    "sasl.password": "s3cret",
    "fetch.wait.max.ms": 250,
    "linger.ms": 50,
}
DYNAMIC = Membership("blue", "w-1", static=False, session_timeout_s=10)
STATIC = Membership("blue", "w-1", static=True, session_timeout_s=6)


def test_the_consumer_never_commits_or_resets_by_itself() -> None:
    settings = consumer_settings(KAFKA, DYNAMIC)

    assert settings["enable.auto.commit"] is False
    assert settings["auto.offset.reset"] == "error"
    assert settings["isolation.level"] == "read_committed"


def test_the_operator_s_tuning_wins_and_reaches_only_the_client_it_is_for() -> None:
    consumer = consumer_settings(KAFKA, DYNAMIC)
    producer = producer_settings(KAFKA, DYNAMIC, compression="lz4", transaction_timeout_s=30)

    assert consumer["fetch.wait.max.ms"] == 250
    assert producer["linger.ms"] == 50
    assert "linger.ms" not in consumer
    assert "fetch.wait.max.ms" not in producer


def test_only_a_static_member_tells_the_group_its_name() -> None:
    assert consumer_settings(KAFKA, STATIC)["group.instance.id"] == "w-1"
    assert "group.instance.id" not in consumer_settings(KAFKA, DYNAMIC)


@pytest.mark.parametrize(("session_s", "heartbeat_ms"), [(6, 1_200), (45, 3_000)])
def test_several_heartbeats_fit_into_a_session(session_s: float, heartbeat_ms: int) -> None:
    member = Membership("blue", "w-1", static=False, session_timeout_s=session_s)

    settings = consumer_settings(KAFKA, member)

    assert settings["session.timeout.ms"] == session_s * 1000
    assert settings["heartbeat.interval.ms"] == heartbeat_ms


def test_the_transactional_id_is_the_group_s_slot_and_no_other_s() -> None:
    settings = producer_settings(KAFKA, DYNAMIC, compression="zstd", transaction_timeout_s=30)

    assert settings["transactional.id"] == "blue:w-1"
    ambiguous = [
        Membership("a-b", "c", static=False, session_timeout_s=6),
        Membership("a", "b-c", static=False, session_timeout_s=6),
    ]
    ids = {
        producer_settings(KAFKA, one, compression="none", transaction_timeout_s=30)[
            "transactional.id"
        ]
        for one in ambiguous
    }
    assert len(ids) == 2
    assert settings["transaction.timeout.ms"] == 30_000
    assert settings["compression.type"] == "zstd"


def test_the_client_never_refuses_a_record_that_the_output_may_hold() -> None:
    def limit(message_bytes_max: int) -> int:
        settings = producer_settings(
            KAFKA,
            DYNAMIC,
            compression="lz4",
            message_bytes_max=message_bytes_max,
            transaction_timeout_s=30,
        )
        return int(settings["message.max.bytes"])

    assert limit(3_000_000) == 3_000_000
    assert limit(10_000) == 1_000_000


def test_without_transactions_the_producer_is_still_idempotent() -> None:
    settings = producer_settings(KAFKA, DYNAMIC, compression="lz4", transaction_timeout_s=None)

    assert settings["enable.idempotence"] is True
    assert "transactional.id" not in settings


def test_the_new_group_protocol_leaves_out_what_is_the_broker_s_to_set() -> None:
    settings = consumer_settings({**KAFKA, "group.protocol": "consumer"}, DYNAMIC)

    owned = {"partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"}
    assert not owned & set(settings)


def test_a_reader_gets_the_connection_alone() -> None:
    assert connection(KAFKA) == {"bootstrap.servers": "b:9092", "sasl.password": "s3cret"}
