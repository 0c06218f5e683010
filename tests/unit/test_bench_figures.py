"""What the bench says of its runs: medians, ratios, speeds, tables."""

from tests.bench.figures import figures, markdown, ratios, spread
from tests.bench.throughput import speed


def test_a_quantity_is_its_median_with_the_least_and_the_most() -> None:
    measured = figures([3.0, 1.0, 2.0])
    assert measured == {"median": 2.0, "min": 1.0, "max": 3.0, "each": [3.0, 1.0, 2.0]}
    assert spread(measured, digits=1) == "2.0 (1.0-3.0)"
    assert spread(None) == ""


def test_a_ratio_is_taken_round_by_round_not_of_medians() -> None:
    # A slow minute doubles both: the ratio stays.
    assert ratios(figures([10, 20, 12]), figures([2, 4, 2]))["each"] == [5, 5, 6]


def test_speed_is_from_when_nothing_was_read_to_when_all_was() -> None:
    seen = [(0.0, 0), (1.5, 0), (2.0, 100), (3.0, 400), (4.0, 500), (9.0, 500)]
    assert speed(seen) == 200
    assert speed([(1.0, 0), (1.5, 500)]) == 1000
    assert speed([(1.0, 0), (2.0, 0)]) == 0
    assert speed([]) == 0


def test_a_table_is_markdown() -> None:
    assert markdown(["what", "how much"], [["a", "1"]]) == (
        "| what | how much |\n| --- | ---: |\n| a | 1 |\n"
    )
