"""Dashboards and alerts speak of what the worker measures, and each alert can be understood."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram, Info

from deploy.dashboards.__main__ import DASHBOARDS, FILES, files
from stream.measurements import CLOSED_LISTS
from stream.metrics import ALL_DECLARATIONS, Declaration
from stream.sampling.decision import Trigger, Verdict
from stream.settings.load import checked
from stream.start import metrics_of
from tests.harness.promql import Matcher, Selector, grouped_by, selectors
from tests.harness.repository import ROOT

DEPLOY = ROOT / "deploy"
OF_PROMETHEUS = {"job", "instance"}
VALUES = {
    ("spans", "outcome"): {*CLOSED_LISTS["spans"]},
    ("traces_decided", "verdict"): {*Verdict},
    ("traces_decided", "trigger"): {*Trigger},
    ("dead_letters", "reason"): {*CLOSED_LISTS["dead_letters"]},
    ("limit_reached", "limit"): {*CLOSED_LISTS["limit_reached"]},
    ("records", "kind"): {*CLOSED_LISTS["records"]},
    ("transaction_seconds", "outcome"): {*CLOSED_LISTS["transaction_seconds"]},
    ("promotions", "outcome"): {*CLOSED_LISTS["promotions"]},
    ("partitions", "state"): {"restoring", "ready"},
    ("budget_bytes", "where"): {"memory", "disk"},
    ("held_bytes", "where"): {
        *("memory", "rocksdb", "open_traces", "undelivered", "inbox", "rocksdb_memory", "disk")
    },
}

Json = dict[str, Any]


@cache
def dashboards() -> dict[str, Json]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FILES.glob("*.json"))}


@cache
def alerts() -> dict[str, Json]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


@cache
def alert_tests() -> list[Json]:
    tree = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yaml").read_text())
    return [case for test in tree["tests"] for case in test["alert_rule_test"]]


def panels() -> Iterator[tuple[str, Json]]:
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                yield f"{name}: {panel['title']}", panel


def expressions() -> Iterator[tuple[str, str]]:
    for name, panel in panels():
        for target in panel["targets"]:
            yield name, target["expr"]
    for name, dashboard in dashboards().items():
        for annotation in dashboard["annotations"]["list"]:
            yield f"{name}: {annotation['name']}", annotation["expr"]
    for name, rule in alerts().items():
        yield name, rule["expr"]


EXPRESSIONS = [
    pytest.param(expr, id=f"{number} {name}") for number, (name, expr) in enumerate(expressions())
]


def samples() -> dict[str, tuple[Declaration | None, set[str]]]:
    """Return the labels of every sample that a worker exports, or a command beside it, by name."""
    suffixes: dict[type, tuple[str, ...]] = {
        Counter: ("_total",),
        Gauge: ("",),
        Info: ("_info",),
        Histogram: ("_bucket", "_count", "_sum"),
    }
    found: dict[str, tuple[Declaration | None, set[str]]] = {}
    for declaration in ALL_DECLARATIONS:
        for suffix in suffixes[declaration.kind]:
            labels = {*declaration.labels} | ({"le"} if suffix == "_bucket" else set())
            found[f"{declaration.prefix}{declaration.name}{suffix}"] = declaration, labels
    for family in metrics_of(checked({})).registry.collect():
        for sample in family.samples:
            known = found.get(sample.name, (None, set[str]()))
            found[sample.name] = known[0], known[1] | set(sample.labels)
    return found


def test_the_rendered_dashboards_are_current() -> None:
    on_disk = {path: path.read_text() for path in FILES.glob("*.json")}

    assert on_disk == files(), "make dashboards writes them anew"


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_every_query_names_metrics_that_are_exported_with_labels_they_have(expr: str) -> None:
    known = samples()
    found = list(selectors(expr))

    assert found
    for selector in found:
        assert selector.metric in known, f"nothing exports {selector.metric}"
        labels = known[selector.metric][1] | OF_PROMETHEUS
        assert {matcher.label for matcher in selector.matchers} <= labels, selector
    of_all = set().union(*(known[selector.metric][1] for selector in found)) | OF_PROMETHEUS
    assert grouped_by(expr) <= of_all


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_every_value_that_a_query_selects_by_can_occur(expr: str) -> None:
    known = samples()
    for selector in selectors(expr):
        declaration = known[selector.metric][0]
        for matcher in selector.matchers:
            name = declaration.name if declaration else ""
            if (name, matcher.label) in VALUES:
                assert occurs(matcher, VALUES[name, matcher.label]), (selector.metric, matcher)


def occurs(matcher: Matcher, values: set[str]) -> bool:
    if "~" not in matcher.operator:
        return matcher.value in values
    return all(
        any(re.fullmatch(part, value) for value in values) for part in matcher.value.split("|")
    )


def test_a_query_is_read_as_prometheus_reads_it() -> None:
    expr = (
        'sum by (job, le) (rate(a_bucket{job="$job", x=~"u|v"}[5m])) / on (job) group_left ()'
        " (b offset 15m or 0 * c{}) > 1e6 and absent(d) unless deriv(e[2m:15s]) < 2"
    )

    assert set(selectors(expr)) == {
        Selector("a_bucket", (Matcher("job", "=", "$job"), Matcher("x", "=~", "u|v"))),
        *(Selector(name, ()) for name in "bcde"),
    }
    assert grouped_by(expr) == {"job", "le"}


def test_every_panel_says_what_it_shows_in_which_unit() -> None:
    wrong = [
        name
        for name, panel in panels()
        if len(panel["description"]) < 30 or not panel["fieldConfig"]["defaults"]["unit"]
    ]

    assert wrong == []


def test_every_series_of_a_panel_has_a_name() -> None:
    unnamed = [
        name
        for name, panel in panels()
        for target in panel["targets"]
        if target["legendFormat"] == "__auto" and target["format"] != "table"
    ]

    assert unnamed == []


def test_panels_neither_overlap_nor_leave_the_page() -> None:
    for name, dashboard in dashboards().items():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, f"{name}: {panel['title']}"
            assert max(x for x, _ in cells) < 24
            taken |= cells
        numbers = [panel["id"] for panel in dashboard["panels"]]
        assert len(numbers) == len(set(numbers))


def test_every_variable_in_a_query_is_one_of_the_page() -> None:
    of_grafana = {"__rate_interval"}
    for name, dashboard in dashboards().items():
        variables = {variable["name"] for variable in dashboard["templating"]["list"]}
        named = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard["panels"])))
        named |= set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard["templating"])))
        assert named - of_grafana - {"__all"} <= variables, name
        assert variables <= named, f"{name}: chosen, and of no effect"


def test_panels_with_exemplars_ask_for_buckets() -> None:
    asked = [t["expr"] for _, panel in panels() for t in panel["targets"] if t["exemplar"]]

    assert len(asked) >= 3
    assert [expr for expr in asked if "_bucket{" not in expr] == []


def test_a_click_on_an_exemplar_opens_its_trace() -> None:
    provisioned = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/tailstream.yaml").read_text()
    )
    sources = {source["uid"]: source for source in provisioned["datasources"]}
    leads = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]

    assert {lead["name"] for lead in leads} == {"trace_id", "traceID"}
    assert {lead["datasourceUid"] for lead in leads} <= sources.keys()


def test_every_dashboard_has_an_address_and_a_title_of_its_own() -> None:
    assert len({one.uid for one in DASHBOARDS}) == len(DASHBOARDS) == len(dashboards())
    assert len({one.title for one in DASHBOARDS}) == len(DASHBOARDS)


def test_every_alert_says_what_is_wrong_and_where_to_read_on() -> None:
    headings = re.findall(r"^## (\w+)$", (DEPLOY / "RUNBOOK.md").read_text(), re.MULTILINE)

    assert headings == [*alerts()], "one section each, in the order of the alerts"
    for name, rule in alerts().items():
        told = rule["annotations"]
        assert told["summary"]
        assert told["description"]
        assert told["runbook_url"] == f"deploy/RUNBOOK.md#{name.lower()}"
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_every_section_of_the_runbook_says_what_to_do() -> None:
    _, *sections = re.split(r"^## ", (DEPLOY / "RUNBOOK.md").read_text(), flags=re.MULTILINE)

    for section in sections:
        for part in ("**Means.**", "**Look at.**", "**Do.**"):
            assert section.count(part) == 1, section.splitlines()[0]


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_is_tested_where_it_fires_and_where_it_does_not(alert: str) -> None:
    fires = {bool(case["exp_alerts"]) for case in alert_tests() if case["alertname"] == alert}

    assert fires == {True, False}
