"""Sets or lifts a client's quotas, which the client library cannot: the protocol by hand.

AlterClientQuotas, version 0: https://kafka.apache.org/protocol#The_Messages_AlterClientQuotas.
"""

from struct import pack, unpack_from

from tests.harness.wire import ask

ALTER_CLIENT_QUOTAS, VERSION = 49, 0
PRODUCE_RATE = "producer_byte_rate"
CONSUME_RATE = "consumer_byte_rate"


def set_produce_quota(bootstrap: str, client_id: str, bytes_a_second: int | None) -> None:
    """Slow what clients of this id produce to so many bytes a second; None: as fast as they like.

    The broker does not answer such a client for as long as it is above its rate.
    """
    _set_quota(bootstrap, client_id, PRODUCE_RATE, bytes_a_second)


def set_consume_quota(bootstrap: str, client_id: str, bytes_a_second: int | None) -> None:
    """Slow what clients of this id read likewise, after the first ten seconds' worth."""
    _set_quota(bootstrap, client_id, CONSUME_RATE, bytes_a_second)


def _set_quota(bootstrap: str, client_id: str, rate: str, bytes_a_second: int | None) -> None:
    entity = pack(">i", 1) + _string("client-id") + _string(client_id)
    remove = bytes_a_second is None
    change = pack(">i", 1) + _string(rate) + pack(">d?", bytes_a_second or 0, remove)
    body = pack(">i", 1) + entity + change + pack(">?", False)
    answer = ask(bootstrap, pack(">hhih", ALTER_CLIENT_QUOTAS, VERSION, 1, -1) + body)
    # Correlation id, throttle time, one entry: what became of it.
    (error,) = unpack_from(">h", answer, 4 + 4 + 4)
    assert error == 0, f"the broker's error {error}"


def _string(text: str) -> bytes:
    return pack(">h", len(text)) + text.encode()
