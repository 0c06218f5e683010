"""What a group reader makes of a message."""

from typing import NoReturn

import pytest

from stream.kafka import group_reader


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

    assert group_reader._headers(Message()) == []
