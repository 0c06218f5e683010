"""A client's complaints in the log."""

from dataclasses import dataclass

import pytest

from stream import clock
from stream.kafka.client_reports import ClientReports


@dataclass
class Complaint:
    number: int

    def code(self) -> int:
        return self.number

    def str(self) -> str:
        return f"complaint {self.number}"


def test_each_kind_of_error_is_said_once_in_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)
    said: list[str] = []
    monkeypatch.setattr(
        "stream.kafka.client_reports.log.warning", lambda _text, error: said.append(error)
    )
    report = ClientReports()
    for moment_s, number in (
        (100.0, 1),
        (100.1, 1),
        (101.0, 2),
        (109.9, 1),
        (110.0, 1),
        (110.1, 2),
    ):
        now_s = moment_s
        report(Complaint(number))
    assert said == ["complaint 1", "complaint 2", "complaint 1"]
