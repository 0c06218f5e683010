"""Partitions that stand still as nobody's make one member join anew, and no others do."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import closing

from stream.kafka.errors import KafkaException
from stream.unclaimed import ASK_AGAIN_S, Unclaimed

PATIENCE_S = 40.0


class Group:
    """Answers with the members and their partitions; None: it rebalances, an error: raised."""

    def __init__(self, assigned: Mapping[str, Collection[int]] | None) -> None:
        self.told: Mapping[str, Collection[int]] | None = assigned
        self.away = False
        self.asked = 0

    def assigned(self) -> Mapping[str, Collection[int]] | None:
        self.asked += 1
        if self.away:
            raise KafkaException("away")
        return self.told


class Looks:
    """The looks of the member `me`, at times that are told, and when it joined anew."""

    def __init__(self, group: Group, me: str = "me", standing: Collection[int] = (4, 5)) -> None:
        self.standing: Collection[int] | None = standing
        self.divided_s = 0.0
        self.rejoined_s: list[float] = []
        self.now_s = 0.0
        self.unclaimed = Unclaimed(
            group,
            standing=lambda: self.standing,
            member_id=lambda: me,
            divided_s=lambda: self.divided_s,
            rejoin=lambda: self.rejoined_s.append(self.now_s),
            now_s=lambda: self.now_s,
            patience_s=PATIENCE_S,
        )

    def look(self, *times_s: float) -> list[float]:
        for self.now_s in times_s:
            asyncio.run(self.unclaimed.look())
        return self.rejoined_s

    def close(self) -> None:
        self.unclaimed.close()


def test_who_has_the_fewest_partitions_joins_anew_once_they_have_stood_still_for_long() -> None:
    group = Group({"me": [], "you": [0, 1, 2, 3]})
    with closing(Looks(group)) as looks:
        assert looks.look(0, 1, PATIENCE_S - 1) == []
        assert group.asked == 0, "the broker is not bothered before"
        assert looks.look(PATIENCE_S, PATIENCE_S + 1) == [PATIENCE_S]


def test_the_others_wait_for_it_and_join_anew_one_after_another_where_that_did_not_help() -> None:
    group = Group({"a console": [], "b": [0, 1], "c": [2]})
    with closing(Looks(group, "b")) as most, closing(Looks(group, "c")) as fewer:
        assert fewer.look(0, PATIENCE_S, 2 * PATIENCE_S - ASK_AGAIN_S) == []
        assert fewer.look(2 * PATIENCE_S) == [2 * PATIENCE_S]
        assert most.look(0, 3 * PATIENCE_S - ASK_AGAIN_S) == []
        assert most.look(3 * PATIENCE_S) == [3 * PATIENCE_S]


def test_what_a_division_has_just_taken_from_its_owner_is_let_alone_for_as_long() -> None:
    group = Group({"me": []})
    with closing(Looks(group)) as looks:
        looks.look(0)
        looks.divided_s = 30.0

        assert looks.look(PATIENCE_S, 29 + PATIENCE_S) == []
        assert looks.look(30 + PATIENCE_S) == [30 + PATIENCE_S]


def test_an_answer_that_a_division_has_overtaken_is_not_judged() -> None:
    class Overtaken(Group):
        def assigned(self) -> Mapping[str, Collection[int]] | None:
            looks.divided_s = PATIENCE_S
            return super().assigned()

    with closing(Looks(Overtaken({"me": []}))) as looks:
        assert looks.look(0, PATIENCE_S) == []


def test_who_is_not_among_the_members_joins_by_itself_and_not_anew() -> None:
    group = Group({"you": [0, 1, 2, 3]})
    with closing(Looks(group)) as looks:
        assert looks.look(*range(0, 400, 10)) == []


def test_nothing_is_asked_or_forgotten_while_the_broker_does_not_say_what_stands_still() -> None:
    group = Group({"me": []})
    with closing(Looks(group)) as looks:
        looks.look(0)
        looks.standing = None
        assert looks.look(PATIENCE_S, PATIENCE_S + 1) == []
        assert group.asked == 0
        looks.standing = (4,)

        assert looks.look(PATIENCE_S + 2) == [PATIENCE_S + 2]


def test_the_broker_is_asked_at_intervals_whatever_it_answers() -> None:
    group = Group(None)
    with closing(Looks(group)) as looks:
        looks.look(0, *range(40, 60))

        assert group.asked == 2


def test_of_members_that_have_as_few_one_joins_anew() -> None:
    group = Group({"a": [0, 1], "b": [2, 3]})
    with closing(Looks(group, "a")) as one, closing(Looks(group, "b")) as two:
        assert one.look(0, PATIENCE_S) == [PATIENCE_S]
        group.away = False
        assert two.look(0, PATIENCE_S) == []


def test_partitions_that_somebody_has_are_let_alone_however_long_they_stand_still() -> None:
    group = Group({"me": [], "you": [0, 1, 2, 3, 4, 5]})
    with closing(Looks(group)) as looks:
        assert looks.look(*range(0, 400, 10)) == []


def test_a_group_that_rebalances_is_let_alone() -> None:
    group = Group(None)
    with closing(Looks(group)) as looks:
        assert looks.look(*range(0, 400, 10)) == []
        group.told = {"me": []}
        assert looks.look(400) == [400]


def test_what_moves_between_is_to_stand_still_as_long_again() -> None:
    group = Group({"me": []})
    with closing(Looks(group)) as looks:
        looks.look(0, 30)
        looks.standing = ()
        looks.look(31)
        looks.standing = (4,)

        assert looks.look(32, 31 + PATIENCE_S) == []
        assert looks.look(32 + PATIENCE_S) == [32 + PATIENCE_S]


def test_a_broker_that_does_not_answer_is_asked_again() -> None:
    group = Group({"me": []})
    group.away = True
    with closing(Looks(group)) as looks:
        assert looks.look(0, PATIENCE_S) == []
        group.away = False
        assert looks.look(PATIENCE_S + ASK_AGAIN_S) == [PATIENCE_S + ASK_AGAIN_S]


def test_nothing_is_asked_after_the_end() -> None:
    group = Group({"me": []})
    looks = Looks(group)
    looks.close()

    assert looks.look(0, PATIENCE_S) == []
    assert group.asked == 0
