from hypothesis import given
from hypothesis import strategies as st

from stream.state.generation_filter import GenerationFilter
from stream.state.generations import GENERATIONS_MAX, Generations


def trace(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_a_generation_takes_a_sixth_of_the_retention() -> None:
    generations = Generations(600)
    numbers = [generations.current(time_ms).number for time_ms in (1000, 1099, 1100, 1199, 1200)]
    assert numbers == [0, 0, 1, 1, 2]


def test_no_more_generations_live_than_the_filter_has_lanes() -> None:
    generations = Generations(600)
    for time_ms in range(0, 100_000, 50):
        generations.current(time_ms).add(time_ms, upto=0)
    alive = list(generations)
    assert len(alive) == GENERATIONS_MAX
    assert len({generation.lane for generation in alive}) == GENERATIONS_MAX
    generations.expire(650, resume_offset=0)
    assert generations.current(200_000).number == GENERATIONS_MAX


def test_a_younger_generation_waits_for_an_older_one_that_may_not_go() -> None:
    generations = Generations(600)
    generations.current(0).add(0, upto=99)
    generations.current(100).add(100, upto=1)
    assert generations.expire(1000, resume_offset=98) == []
    assert [one.number for one in generations.expire(1000, resume_offset=99)] == [0, 1]


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


def test_a_filter_that_has_grown_is_wrong_about_few_strangers() -> None:
    bits = GenerationFilter()
    for number in range(20_000):
        bits.add(trace(number), 3)
    bits.clear(3)
    for number in range(20_000, 40_000):
        bits.add(trace(number), 3)
    wrong = sum(bits.lanes(trace(stranger)) != 0 for stranger in range(10**9, 10**9 + 20_000))
    assert wrong < 20_000 * 0.03


def test_clearing_a_lane_leaves_the_others() -> None:
    bits = GenerationFilter()
    for number in range(1000):
        bits.add(trace(number), 0)
        bits.add(trace(number), 7)
    bits.clear(0)
    assert all(bits.lanes(trace(number)) == 1 << 7 for number in range(1000))
    bits.clear(7)
    assert not any(bits.lanes(trace(number)) for number in range(1000))
