"""Headers of a message that no producer may end the process with."""

from typing import NoReturn

import pytest

from stream.kafka.headers import headers_of


@pytest.mark.parametrize(
    "failure",
    [SystemError("a result with an exception set"), UnicodeDecodeError("utf-8", b"", 0, 1, "")],
)
def test_header_names_that_are_no_text_cost_the_headers_and_nothing_else(
    failure: Exception,
) -> None:
    class Message:  # the client's, as it behaves on a name such as b"\\xff"
        def headers(self) -> NoReturn:
            raise failure

    assert list(headers_of(Message())) == []
