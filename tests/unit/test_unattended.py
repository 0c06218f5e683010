"""What waits in partitions that nobody reads is told by others, and only while it stands still."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import closing

import pytest

from stream.kafka.errors import KafkaException
from stream.measurements import Measurements
from stream.metrics import Metrics
from stream.unattended import Unattended, Waiting
from stream.worker.hints import Times, decode_times, encode_times

TIMES = encode_times(60_000, 30_000)


class Broker:
    """Answers for positions and ends as they are set; None: it does not answer."""

    def __init__(self) -> None:
        self.positions: dict[int, tuple[int, str | None]] | None = {}
        self.log_ends: dict[int, int] = {}
        self.asked_for_ends: list[list[int]] = []
        self.closed = False

    def committed(self, numbers: Collection[int]) -> dict[int, tuple[int, str | None]]:
        if self.positions is None:
            raise KafkaException("away")
        return {number: self.positions[number] for number in numbers if number in self.positions}

    def ends(self, numbers: Collection[int]) -> dict[int, int]:
        self.asked_for_ends.append([*numbers])
        return {number: self.log_ends[number] for number in numbers if number in self.log_ends}

    def close(self) -> None:
        self.closed = True


class Looks:
    """One worker's looks at the partitions of others, and what it told last."""

    def __init__(self, broker: Broker) -> None:
        self.others = {0, 1}
        self.told: Mapping[int, Waiting] | None = None
        self.unattended = Unattended(broker, numbers=lambda: self.others, tell=self._tell)

    def look(self) -> Mapping[int, Waiting] | None:
        asyncio.run(self.unattended.look())
        return self.told

    def close(self) -> None:
        self.unattended.close()

    def _tell(self, waiting: Mapping[int, Waiting]) -> None:
        self.told = waiting


def test_a_position_that_stands_still_below_its_end_is_told_and_one_that_moves_is_not() -> None:
    broker = Broker()
    with closing(Looks(broker)) as looks:
        broker.log_ends = {0: 50, 1: 50}
        broker.positions = {0: (10, TIMES), 1: (10, TIMES)}
        first = looks.look()
        broker.positions = {0: (10, TIMES), 1: (11, TIMES)}
        second = looks.look()
        broker.positions = {0: (10, TIMES), 1: (12, TIMES)}
        third = looks.look()

    assert first == second == {}, "whether it moves is not known yet"
    assert third == {0: Waiting(40, Times(60_000, 30_000))}
    assert broker.asked_for_ends == [[0], [0]]


def test_what_came_to_an_idle_partition_a_moment_ago_is_not_told() -> None:
    broker = Broker()
    with closing(Looks(broker)) as looks:
        broker.log_ends, broker.positions = {0: 10}, {0: (10, TIMES)}
        looks.look()
        looks.look()
        broker.log_ends = {0: 12}
        just_come = looks.look()
        broker.positions = {0: (12, TIMES)}
        read = looks.look()
        broker.log_ends = {0: 13}
        come_again = looks.look()

    assert just_come == read == come_again == {}


def test_nothing_waits_where_all_is_read() -> None:
    broker = Broker()
    with closing(Looks(broker)) as looks:
        broker.log_ends = {0: 10}
        broker.positions = {0: (10, TIMES), 1: (10, TIMES)}
        looks.look()

        assert looks.look() == {}


def test_the_lag_in_records_is_told_also_where_no_times_were_committed() -> None:
    broker = Broker()
    with closing(Looks(broker)) as looks:
        broker.log_ends, broker.positions = {0: 12}, {0: (10, None)}
        looks.look()
        looks.look()

        assert looks.look() == {0: Waiting(2, None)}


def test_what_was_never_read_stands_still_without_a_lag_that_nobody_knows() -> None:
    broker = Broker()
    with closing(Looks(broker)) as looks:
        broker.log_ends, broker.positions = {0: 12, 1: 0}, {}

        assert looks.look() == {}
        assert looks.unattended.standing == {0}
        looks.others = {1}
        looks.look()
        assert looks.unattended.standing == set()


def test_what_is_told_stands_still() -> None:
    broker = Broker()
    with closing(Looks(broker)) as looks:
        broker.log_ends, broker.positions = {0: 12, 1: 5}, {0: (10, None), 1: (5, None)}
        for _ in range(3):
            looks.look()

        assert looks.unattended.standing == {0}


def test_what_becomes_ours_is_not_told_any_more() -> None:
    broker = Broker()
    with closing(Looks(broker)) as looks:
        broker.log_ends, broker.positions = {0: 12, 1: 12}, {0: (10, None), 1: (10, None)}
        looks.look()
        looks.look()
        looks.look()
        looks.others = {1}

        assert looks.look() == {1: Waiting(2, None)}
        looks.others = set()
        assert looks.look() == {}


def test_what_was_told_stands_while_the_broker_does_not_answer() -> None:
    broker = Broker()
    with closing(Looks(broker)) as looks:
        broker.log_ends, broker.positions = {0: 12}, {0: (10, None)}
        looks.look()
        looks.look()
        told = looks.look()
        broker.positions = None

        assert looks.look() == told == {0: Waiting(2, None)}
        assert looks.unattended.standing is None
        broker.positions = {0: (10, None)}
        assert looks.look() == told, "it has not moved since"
        assert looks.unattended.standing == {0}


def test_what_has_moved_while_the_broker_did_not_answer_is_not_told() -> None:
    broker = Broker()
    with closing(Looks(broker)) as looks:
        broker.log_ends, broker.positions = {0: 12}, {0: (10, None)}
        for _ in range(3):
            looks.look()
        broker.positions = None
        looks.look()
        broker.positions = {0: (11, None)}

        assert looks.look() == {}


def test_nothing_is_asked_after_the_end() -> None:
    broker = Broker()
    looks = Looks(broker)
    broker.log_ends, broker.positions = {0: 12}, {0: (10, None)}
    looks.look()
    asked = [*broker.asked_for_ends]
    looks.close()

    assert broker.closed
    assert looks.look() == {}
    assert broker.asked_for_ends == asked


def test_the_gauges_tell_what_waits_and_go_when_nothing_does() -> None:
    metrics = Metrics()
    measurements = Measurements(metrics, retention_ms=100_000)
    measurements.unattended(
        {0: Waiting(5, Times(60_000, 30_000)), 1: Waiting(7, None)}, now_ms=70_000
    )
    told = gauges(metrics)
    measurements.unattended({1: Waiting(8, None)}, now_ms=71_000)

    assert told == {
        "unattended_lag_records": {"0": 5, "1": 7},
        "unattended_lag_seconds": {"0": 10},
        "unattended_retention_left_seconds": {"0": 60},
    }
    assert gauges(metrics) == {
        "unattended_lag_records": {"1": 8},
        "unattended_lag_seconds": {},
        "unattended_retention_left_seconds": {},
    }


def test_seconds_and_retention_are_not_told_where_they_are_not_known_any_more() -> None:
    metrics = Metrics()
    measurements = Measurements(metrics, retention_ms=100_000)
    measurements.unattended({0: Waiting(5, Times(60_000, 30_000))}, now_ms=70_000)
    measurements.unattended({0: Waiting(6, None)}, now_ms=71_000)

    assert gauges(metrics)["unattended_lag_records"] == {"0": 6}
    assert gauges(metrics)["unattended_lag_seconds"] == {}
    assert gauges(metrics)["unattended_retention_left_seconds"] == {}


def gauges(metrics: Metrics) -> dict[str, dict[str, float]]:
    return {
        name: {
            sample.labels["partition"]: sample.value
            for sample in metrics[name].collect()[0].samples
        }
        for name in (
            "unattended_lag_records",
            "unattended_lag_seconds",
            "unattended_retention_left_seconds",
        )
    }


def test_times_are_read_as_they_were_written() -> None:
    assert decode_times(encode_times(1_790_000_000_001, 1_790_000_000_000)) == Times(
        1_790_000_000_001, 1_790_000_000_000
    )


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "NONE",
        "[" * 2_000,
        "7",
        '{"v":2,"position_ms":2,"resume_ms":1}',
        '{"v":1,"position_ms":2}',
        '{"v":1,"position_ms":2,"resume_ms":"1"}',
        '{"v":1,"position_ms":true,"resume_ms":1}',
        '{"v":1,"position_ms":2,"resume_ms":-1}',
        '{"v":1,"position_ms":1e400,"resume_ms":1}',
        encode_times(0, 0),
    ],
)
def test_times_that_are_not_ours_or_not_known_are_none(metadata: str | None) -> None:
    assert decode_times(metadata) is None
