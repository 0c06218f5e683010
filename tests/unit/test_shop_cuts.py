"""Cut traces of the shop: found, and laid at the right service's door, from the spans alone."""

from dataclasses import replace

import pytest

from stream.demo.shop.cuts import Cut, Sign, cuts_in, orphans_of
from stream.demo.shop.findings import is_one_tree
from stream.demo.shop.seen import Kind, Seen

ADDRESSES = {"gateway": "shop:1", "payment": "shop:2", "psp": "shop:3"}


def span(service: str, kind: Kind, span_id: str, parent_id: str = "", calls: str = "") -> Seen:
    return Seen(
        trace_id="t",
        span_id=span_id,
        parent_id=parent_id,
        remote=kind is Kind.SERVER and bool(parent_id),
        service=service,
        name="POST",
        kind=kind,
        address=ADDRESSES[calls or service],
    )


def checkout(trace_id: str = "whole") -> dict[str, Seen]:
    """A whole trace over HTTP, its spans by short names."""
    spans = {
        "gateway": span("gateway", Kind.SERVER, "1"),
        "to payment": span("gateway", Kind.CLIENT, "2", "1", "payment"),
        "payment": span("payment", Kind.SERVER, "3", "2"),
        "to psp": span("payment", Kind.CLIENT, "4", "3", "psp"),
        "psp": span("psp", Kind.SERVER, "5", "4"),
    }
    return {name: replace(each, trace_id=trace_id) for name, each in spans.items()}


def cuts_without(*missing: str) -> list[Cut]:
    """The signs in a trace that lacks these spans, beside a whole one."""
    cut = [each for name, each in checkout("cut").items() if name not in missing]
    return cuts_in({"whole": list(checkout().values()), "cut": cut})


def test_whole_traces_have_no_sign() -> None:
    assert cuts_without() == []
    assert is_one_tree(list(checkout().values()))


@pytest.mark.parametrize(
    ("missing", "signs"),
    [
        (["payment"], {("payment", Sign.PARENT), ("payment", Sign.ANSWER)}),
        (["payment", "to psp", "psp"], {("payment", Sign.ANSWER)}),
        (["to psp", "psp"], {("payment", Sign.CALLS)}),
        (["psp"], {("psp", Sign.ANSWER)}),
        (["to psp"], {("payment", Sign.CALLS), ("payment", Sign.PARENT)}),
        (["gateway"], {("gateway", Sign.PARENT)}),
    ],
)
def test_the_service_that_lost_a_span_is_named(
    missing: list[str], signs: set[tuple[str, Sign]]
) -> None:
    cuts = cuts_without(*missing)
    assert {(each.service, each.sign) for each in cuts} == signs
    assert {each.trace_id for each in cuts} == {"cut"}


def test_where_no_other_trace_tells_who_it_was_nobody_is_named() -> None:
    spans = [each for name, each in checkout("cut").items() if name not in {"payment", "to psp"}]
    cuts = cuts_in({"cut": spans})
    assert {(each.service, each.sign) for each in cuts} == {("", Sign.ANSWER), ("", Sign.PARENT)}
    assert any("called shop:2, which left no span" in each.told for each in cuts)


def test_a_trace_that_lacks_a_service_or_a_parent_or_has_two_roots_is_not_one_tree() -> None:
    whole = checkout()
    assert not is_one_tree([each for name, each in whole.items() if name != "psp"])
    assert not is_one_tree([each for name, each in whole.items() if name != "payment"])
    assert not is_one_tree([*whole.values(), replace(whole["psp"], span_id="6", parent_id="")])
    assert not is_one_tree([])


def test_orphans_are_the_spans_whose_parent_is_missing() -> None:
    whole = checkout()
    spans = [each for name, each in whole.items() if name != "payment"]
    assert orphans_of(spans) == [whole["to psp"]]
    assert orphans_of(list(whole.values())) == []
