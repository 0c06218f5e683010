"""The schedule of faults is the seed's alone."""

from itertools import islice

from tests.chaos.schedule import THIRD, Fault, Kind, Schedule

SEEDS = range(50)


def test_a_seed_has_one_schedule_and_another_seed_another() -> None:
    for seed in SEEDS:
        assert faults(seed) == faults(seed)
        assert faults(seed) != faults(seed + 1)


def test_the_first_round_has_each_kind_of_fault_once() -> None:
    for seed in SEEDS:
        first = faults(seed)[: Schedule(seed).first_round]
        assert sorted(fault.kind for fault in first) == sorted(Kind)


def test_only_who_has_joined_is_struck_or_leaves() -> None:
    for seed in SEEDS:
        third = False
        for fault in faults(seed):
            if fault.kind is Kind.JOIN:
                assert not third
                third = True
            elif fault.kind is Kind.LEAVE:
                assert third
                third = False
            elif THIRD in fault.slots:
                assert third


def faults(seed: int) -> list[Fault]:
    return list(islice(Schedule(seed), 40))
