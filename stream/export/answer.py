"""What a backend's answer to a request means.

The rules: https://opentelemetry.io/docs/specs/otlp/#otlphttp-response. 429, 502, 503 and 504 are to
be tried again, after Retry-After where it is given. Of what that page calls not retryable, three
kinds are told apart here: a refusal of what was sent, an answer that speaks of the request's target
or credentials rather than of spans, and a server that fails, which may be the fault of either.
"""

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from stream.otlp.wire import LENGTH, Malformed, children

NO_ANSWER: Final = 0
"""The status of a request that got none: no connection, or not in time."""

UNTRUSTED: Final = -1
"""The status of a request that was not sent: the certificate is not valid for the endpoint."""

REASON_CHARS_MAX: Final = 200
RETRY_AFTER_S_MAX: Final = 600.0
_PROTOBUF: Final = "application/x-protobuf"
_STATUS_MESSAGE: Final = 2 << 3 | LENGTH  # google.rpc.Status.message


class Meaning(Enum):
    """What to do next."""

    ACCEPTED = auto()
    TRY_AGAIN = auto()
    REFUSED = auto()
    TOO_LARGE = auto()
    FAILED = auto()
    NOT_FOR_US = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """A backend's answer, or that there was none.

    `retry_after_s` is what the backend asks for, 0 if it does not. `rejected_spans` are those that
    an accepted request was not accepted for, with the `reason` as the backend words it.
    """

    status: int
    reason: str = ""
    retry_after_s: float = 0.0
    rejected_spans: int = 0

    @property
    def meaning(self) -> Meaning:
        """Return what the status stands for."""
        if self.status in _MEANINGS:
            return _MEANINGS[self.status]
        kinds = {2: Meaning.ACCEPTED, 4: Meaning.REFUSED, 5: Meaning.FAILED}
        return kinds.get(self.status // 100, Meaning.NOT_FOR_US)

    def __str__(self) -> str:
        status = {NO_ANSWER: "no answer", UNTRUSTED: "certificate not valid"}.get(
            self.status, str(self.status)
        )
        return f"{status}: {self.reason}" if self.reason else status


_MEANINGS: Final = {
    **dict.fromkeys((NO_ANSWER, 408, 429, 502, 503, 504), Meaning.TRY_AGAIN),
    413: Meaning.TOO_LARGE,
    # Address, credentials, method, proxy, media type: nothing that is wrong with a span.
    **dict.fromkeys((401, 403, 404, 405, 407, 415), Meaning.NOT_FOR_US),
}


def read_answer(
    status: int, body: bytes, *, content_type: str, retry_after: str, now_s: float
) -> Answer:
    """Return the answer that these parts of an HTTP response make."""
    protobuf = content_type.partition(";")[0].strip().lower() == _PROTOBUF
    wait_s = retry_after_s(retry_after, now_s)
    if not protobuf:
        # An empty or foreign 2xx is how many gateways say yes.
        return Answer(status, "" if status // 100 == 2 else _printable(body), wait_s)  # noqa: PLR2004 - HTTP's class
    if status // 100 != 2:  # noqa: PLR2004 - as above
        return Answer(status, _status_message(body), wait_s)
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Answer(status)
    return Answer(status, _printable(partial.error_message.encode()), 0.0, partial.rejected_spans)


def retry_after_s(text: str, now_s: float) -> float:
    """Return the seconds to wait, from seconds or an HTTP date; 0 where it is neither.

    At most ten minutes: a clock or a zero too many must not stop the export for a day.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        wait_s = float(text)
    else:
        try:
            wait_s = parsedate_to_datetime(text).timestamp() - now_s
        except (TypeError, ValueError, OverflowError):
            return 0.0
    return min(max(0.0, wait_s), RETRY_AFTER_S_MAX)


def _status_message(body: bytes) -> str:
    try:
        found = children(body, 0, len(body), _STATUS_MESSAGE)
    except Malformed:
        return ""
    return _printable(b"".join(body[start:end] for _, start, end in found[-1:]))


def _printable(text: bytes) -> str:
    """Return the text on one line, cut: it goes into logs and headers."""
    plain = text[: 4 * REASON_CHARS_MAX].decode(errors="replace")
    return " ".join("".join(c if c.isprintable() else " " for c in plain).split())[
        :REASON_CHARS_MAX
    ]
