"""What `tailstream tail` says while it shows nothing."""

from stream.cli.tail import Filters
from stream.cli.tail_waiting import EVERY_S, FIRST_S, Waiting, not_in_settings

BEGAN_S = 100.0


def waiting(*policies: str) -> Waiting:
    return Waiting(policies, BEGAN_S)


def said(one: Waiting, after_s: float) -> str:
    return "\n".join(one.lines(BEGAN_S + after_s))


def test_nothing_is_said_before_a_while_has_passed() -> None:
    assert said(waiting("slo"), FIRST_S - 0.1) == ""


def test_where_nothing_comes_it_says_so_now_and_then() -> None:
    one = waiting()

    assert "no kept trace came for 10 s" in said(one, FIRST_S)
    assert said(one, FIRST_S + EVERY_S - 0.1) == ""
    assert "no kept trace came for 60 s" in said(one, FIRST_S + EVERY_S)


def test_a_policy_that_no_trace_had_is_told_once_with_those_that_came() -> None:
    one = waiting("slo", "errors")
    one.came("rest", shown=False)
    one.came("errors", shown=True)

    told = said(one, FIRST_S)
    again = said(one, FIRST_S + EVERY_S)

    assert told == "no kept trace had policy 'slo'; the policies that came: errors, rest"
    assert "slo" not in again


def test_traces_that_pass_no_filter_are_counted() -> None:
    one = waiting()
    one.came("rest", shown=False)
    one.came("rest", shown=False)

    assert said(one, FIRST_S) == "2 kept traces came in 10 s, none passed the filters"


def test_while_traces_are_shown_nothing_is_said() -> None:
    one = waiting("rest")
    one.came("rest", shown=True)

    assert said(one, FIRST_S) == ""


def test_a_policy_that_the_settings_do_not_have_is_warned_of() -> None:
    assert list(not_in_settings(("slow", "slo"), ["errors", "slow"])) == [
        "policy 'slo' is not in these settings, which have errors, slow"
    ]


def test_what_is_waited_for_is_told_in_words() -> None:
    assert Filters((), (), 0).meaning() == "kept traces"
    assert (
        Filters(("psp", "web"), ("slow",), 20.5).meaning()
        == "kept traces through psp or web, kept by slow, of 20.5 ms or more"
    )
