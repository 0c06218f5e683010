from hypothesis import given
from hypothesis import strategies as st

from stream.state.generation_filter import GenerationFilter
from stream.state.generations import GENERATIONS_MAX, Generations


def trace(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_a_generation_takes_a_sixth_of_the_retention() -> None:
    generations = Generations(600)
    numbers = [generations.of(time_ms).number for time_ms in (1000, 1099, 1100, 1199, 1200)]
    assert numbers == [10, 10, 11, 11, 12]


def test_no_more_generations_live_than_the_filter_has_lanes() -> None:
    generations = Generations(600)
    for time_ms in range(0, 100_000, 50):
        generations.of(time_ms).add(time_ms, upto=0)
    alive = list(generations)
    assert len(alive) == GENERATIONS_MAX
    assert len({generation.lane for generation in alive}) == GENERATIONS_MAX
    generations.expire(650, resume_offset=0)
    assert generations.of(200_000).number == 6 + GENERATIONS_MAX - 1


def test_a_younger_generation_waits_for_an_older_one_that_may_not_go() -> None:
    generations = Generations(600)
    generations.of(0).add(0, upto=99)
    generations.of(100).add(100, upto=1)
    assert generations.expire(1000, resume_offset=98) == []
    assert [one.number for one in generations.expire(1000, resume_offset=99)] == [0, 1]


@given(st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), max_size=60))
def test_the_living_are_in_the_order_of_their_times_and_each_has_a_lane_of_its_own(
    steps: list[tuple[int, bool]],
) -> None:
    generations = Generations(600)
    for time_ms, expires in steps:
        generation = generations.of(time_ms)
        generation.add(time_ms, upto=0)
        if expires:
            generations.expire(time_ms - 600, resume_offset=0)
        numbers = [one.number for one in generations]
        assert numbers == sorted(set(numbers))
        assert len({one.lane for one in generations}) == len(numbers)


@given(st.permutations(range(0, 700, 50)))
def test_whatever_order_decisions_of_a_retention_come_in_each_lives_in_its_own_time(
    times_ms: list[int],
) -> None:
    generations = Generations(600)
    for time_ms in times_ms:
        generations.of(time_ms).add(time_ms, upto=0)
    assert [(one.number, one.newest_ms) for one in generations] == [
        (number, 100 * number + 50) for number in range(7)
    ]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, GENERATIONS_MAX - 1))))
def test_a_filter_never_misses_what_was_added(added: list[tuple[int, int]]) -> None:
    bits = GenerationFilter()
    for number, lane in added:
        bits.add(trace(number), lane)
    assert all(bits.lanes(trace(number)) >> lane & 1 for number, lane in added)


def test_a_filter_never_misses_what_was_added_before_it_grew() -> None:
    bits = GenerationFilter()
    size = len(bits)
    for number in range(100_000):
        bits.add(trace(number), number % 5)
    assert len(bits) > 2 * size
    assert all(bits.lanes(trace(number)) >> (number % 5) & 1 for number in range(100_000))


def wrong_about_strangers(bits: GenerationFilter) -> float:
    return sum(bits.lanes(trace(n)) != 0 for n in range(10**9, 10**9 + 20_000)) / 20_000


def test_a_filter_that_grows_is_wrong_about_few_strangers_and_about_fewer_when_it_has() -> None:
    bits = GenerationFilter()
    for number in range(20_000):
        bits.add(trace(number), 3)
    assert wrong_about_strangers(bits) < 0.08
    for number in range(20_000, 40_000):
        bits.add(trace(number), 4)
    bits.clear(3)
    assert wrong_about_strangers(bits) < 0.02
    assert len(bits) <= 20_000 * 16


def test_an_empty_filter_takes_next_to_nothing_and_a_filter_shrinks_when_less_comes() -> None:
    bits = GenerationFilter()
    empty = len(bits)
    assert empty <= 1024
    for number in range(50_000):
        bits.add(trace(number), 2)
    bits.add(trace(1), 3)
    bits.clear(2)
    for number in range(100):
        bits.add(trace(number), 4)
    bits.clear(3)
    assert len(bits) < 20_000
    assert all(bits.lanes(trace(number)) == 1 << 4 for number in range(100))
    bits.clear(4)
    assert len(bits) == empty


def test_clearing_a_lane_leaves_the_others() -> None:
    bits = GenerationFilter()
    for number in range(1000):
        bits.add(trace(number), 0)
        bits.add(trace(number), 7)
    bits.clear(0)
    assert all(bits.lanes(trace(number)) == 1 << 7 for number in range(1000))
    bits.clear(7)
    assert not any(bits.lanes(trace(number)) for number in range(1000))
