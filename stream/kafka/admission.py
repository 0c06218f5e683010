"""Why a broker and a client did not come together: which settings to mend."""

import re
from typing import Any, Final

from confluent_kafka import KafkaError

_ALERT: Final = re.compile(r"SSL routines::.*alert")

_LOGIN: Final = (
    "Correct kafka.sasl.username and kafka.sasl.password (with OAUTHBEARER: kafka.sasl.oauthbearer."
    "*): the broker is there, and does not accept them"
)
_MECHANISM: Final = "Set kafka.sasl.mechanism to one that the broker supports"
_AUTHORITY: Final = (
    "Set kafka.ssl.ca.location to the certificate of the authority that signed the broker's; the "
    "broker's must also name the host of kafka.bootstrap.servers"
)
_CERTIFICATE: Final = (
    "Set kafka.ssl.certificate.location and kafka.ssl.key.location to a certificate that the "
    "broker trusts and that has not expired: it asks for one"
)
_TLS: Final = "Correct kafka.security.protocol and the kafka.ssl.* settings"


def remedy_at_the_door(error: Any) -> str:
    """Return what to do about an error that tells of a refusal at the door; empty for any other.

    A broker is there, and waiting does not help. In TLS 1.3 a client learns of the refusal of its
    certificate after the handshake, so that librdkafka tells of a broken connection; its text
    holds the alert: https://www.rfc-editor.org/rfc/rfc8446#section-6.2
    """
    code, text = error.code(), error.str()
    if code == KafkaError._AUTHENTICATION:  # noqa: SLF001 - a code of librdkafka itself
        return _MECHANISM if "Unsupported SASL mechanism" in text else _LOGIN
    if "certificate verify failed" in text:
        return _AUTHORITY
    if _ALERT.search(text):
        return _CERTIFICATE
    return _TLS if code == KafkaError._SSL else ""  # noqa: SLF001 - a code of librdkafka itself
