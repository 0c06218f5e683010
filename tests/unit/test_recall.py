"""Recall's traffic, metrics and steps, without Kafka."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from stream.demo.recall.application import BOUNDS_S, Application
from stream.demo.recall.arithmetic import lines, rows
from stream.demo.recall.checkout import Checkout
from stream.demo.recall.checkouts import Checkouts
from stream.demo.recall.evidence import Evidence
from stream.demo.recall.head import is_head_kept, likely_most
from stream.demo.recall.prometheus import exemplars_through, prometheus_program, trace_ids_of
from stream.demo.recall.steps import click_step, head_step, pins_step, shown_in, tail_step
from stream.demo.recall.tail import Ran
from stream.demo.recall.timeline import Collected, Exported, timeline
from stream.demo.record import Record
from stream.kafka.topic_reader import ReadRecord

MADE = Checkouts(seed=7, count=1_000, per_s=100.0, start_ns=1_700_000_000_000_000_000)
TOPICS = {"output": "out", "decisions": "decided"}


def made() -> list[Checkout]:
    return list(MADE)


def delivered(
    evidence: Evidence, checkout: Checkout, policy: str, records: int | None = None
) -> None:
    """Put a trace into the output, or so many of its records."""
    for offset, record in enumerate(checkout.records[:records]):
        headers = [("tailstream.policy", policy.encode()), ("tailstream.trigger", b"decision_wait")]
        evidence.add(ReadRecord("out", 0, offset, record.key, record.value, headers))


def a_run(checkouts: list[Checkout]) -> Ran:
    ran = Ran(Evidence(TOPICS))
    for each in checkouts:
        ran.application.observe(each)
    for instance in "012":
        ran.collect(instance, 1)
    for each in checkouts:
        if each.failed:
            delivered(ran.evidence, each, "errors")
    return ran


def test_a_seed_makes_the_same_traffic_with_exact_shares() -> None:
    checkouts = made()
    assert checkouts == made()
    assert checkouts != list(replace(MADE, seed=8))
    slow = [each for each in checkouts if each.slow]
    assert (len(slow), sum(each.failed for each in checkouts)) == (3, 5)
    assert all(2.0 <= each.duration_s < 2.5 for each in slow)
    assert all(each.duration_s < 1.0 for each in checkouts if not each.slow)
    assert not any(each.slow and each.failed for each in checkouts)


def test_moments_come_in_order_and_metrics_are_exported_after_they_are_read() -> None:
    moments = list(timeline(made(), exports=True))
    assert [each.at_s for each in moments] == sorted(each.at_s for each in moments)
    ended: set[bytes] = set()
    collected: set[tuple[str, int]] = set()
    for moment in moments:
        match moment:
            case Checkout(trace_id=trace_id):
                ended.add(trace_id)
            case Record(key=key):
                assert bytes.fromhex(key.decode()) in ended
            case Collected(instance=instance, number=number):
                collected.add((instance, number))
            case Exported(instance=instance, number=number):
                assert (instance, number) in collected
    assert len(collected) == 6


def test_otlp_and_openmetrics_say_the_same_of_the_checkouts() -> None:
    ran = a_run(made())
    points = [
        MetricsData.FromString(each).resource_metrics[0].scope_metrics[0].metrics[0].histogram
        for each in ran.collected.values()
    ]
    slow_at = BOUNDS_S.index(2.5)
    assert sum(each.data_points[0].bucket_counts[slow_at] for each in points) == 3
    assert sum(each.data_points[0].count for each in points) == 1_000
    slow = {each.trace_id for each in MADE if each.slow}
    shown = shown_in(ran.application.openmetrics())
    assert shown
    assert {one.trace_id for one in shown} <= slow & ran.exemplars
    assert all('le="2.5"' in one.line and "# {" in one.line for one in shown)


def test_the_head_keeps_its_share_and_more_than_chance_is_a_fault() -> None:
    step = head_step(made())
    assert step.faults == []
    kept = [each for each in made() if is_head_kept(each)]
    assert 0 < len(kept) < 30
    assert "more than chance" in head_step(kept * 20).faults[0]
    assert likely_most(100) < 10


def test_the_tail_step_holds_only_with_every_slow_trace_whole_and_nothing_else() -> None:
    checkouts = made()
    slow = [each for each in checkouts if each.slow]
    ran = a_run(checkouts)
    for each in slow[1:]:
        delivered(ran.evidence, each, "slow")
    delivered(ran.evidence, slow[0], "slow", records=2)
    assert (
        f"1 trace not there whole: {slow[0].trace_id.hex()}"
        in tail_step(checkouts, ran, 1000).faults
    )
    delivered(ran.evidence, slow[0], "slow")
    assert tail_step(checkouts, ran, 1000).faults == []
    delivered(ran.evidence, next(each for each in checkouts if not each.slow), "slow")
    assert tail_step(checkouts, ran, 1000).faults == ["1 trace kept that nothing wants"]


def test_the_pins_step_fails_where_one_exemplar_opens_nothing_or_a_policy_kept_it() -> None:
    checkouts = made()
    ran = a_run(checkouts)
    named = [each for each in checkouts if each.trace_id in ran.exemplars and not each.failed]
    for each in named[1:]:
        delivered(ran.evidence, each, "pin")
    last = named[0].trace_id.hex()
    assert f"1 trace not there whole: {last}" in pins_step(checkouts, ran, 5000).faults
    delivered(ran.evidence, named[0], "slow")
    assert pins_step(checkouts, ran, 5000).faults == [f"1 trace not kept by pin: {last}"]


def test_the_click_opens_the_whole_slow_trace_or_the_step_fails() -> None:
    checkouts = made()
    ran = a_run(checkouts)
    assert "opens nothing" in click_step(checkouts, ran).faults[0]
    for each in checkouts:
        if each.slow:
            delivered(ran.evidence, each, "pin", records=3)
    assert "not whole" in " ".join(click_step(checkouts, ran).faults)
    for each in checkouts:
        if each.slow:
            delivered(ran.evidence, each, "pin")
    step = click_step(checkouts, ran)
    assert step.faults == []
    assert "opens 7 spans" in step.found[1]
    assert click_step([], Ran(Evidence(TOPICS), Application())).faults


def test_the_arithmetic_tells_rates_sizes_and_errors_seen() -> None:
    checkouts = made()
    offered, head, tail = rows(checkouts, 100.0, a_run(checkouts))
    assert offered.spans_per_s == sum(len(each.span_ids) for each in checkouts) / 10
    assert offered.bytes_per_day == sum(each.bytes for each in checkouts) / 10 * 86_400
    assert (offered.errors, tail.errors, tail.errors_of) == (5, 5, 5)
    assert head.spans_per_s < offered.spans_per_s / 30
    assert "1 of 20,000" in list(lines([offered, head, tail]))[-1]


PROMETHEUS = """#!{python}
import http.server, json, sys, urllib.request
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families
options = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
assert options["enable-feature"] == "exemplar-storage"
job = yaml.safe_load(open(options["config.file"]))["scrape_configs"][0]
target = job["static_configs"][0]["targets"][0]
accept = {{"Accept": "application/openmetrics-text; version=1.0.0"}}
page = urllib.request.urlopen(urllib.request.Request(f"http://{{target}}/metrics", headers=accept))
samples = [s for f in text_string_to_metric_families(page.read().decode()) for s in f.samples]
data = [
    {{"seriesLabels": s.labels, "exemplars": [{{"labels": s.exemplar.labels, "value": "1"}}]}}
    for s in samples if s.exemplar and s.labels["le"] == "2.5"
]
class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        assert self.path.startswith("/api/v1/query_exemplars?query=checkout_duration_seconds_")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({{"status": "success", "data": data}}).encode())
host, port = options["web.listen-address"].split(":")
http.server.HTTPServer((host, int(port)), Api).serve_forever()
"""


def test_what_prometheus_scrapes_is_asked_back_from_it(tmp_path: Path) -> None:
    program = tmp_path / "prometheus"
    program.write_text(PROMETHEUS.format(python=sys.executable))
    program.chmod(0o755)
    application = a_run(made()).application
    wanted = {one.trace_id for one in shown_in(application.openmetrics())}
    assert exemplars_through(str(program), application.registry, wanted, tmp_path) == wanted


def test_a_prometheus_that_ends_has_no_exemplars(tmp_path: Path) -> None:
    application = a_run(made()).application
    assert exemplars_through("false", application.registry, {b"t" * 16}, tmp_path) == set()


def test_prometheus_is_what_the_environment_names_and_its_answer_gives_trace_ids(
    tmp_path: Path,
) -> None:
    program = tmp_path / "my-prometheus"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert prometheus_program({"PROMETHEUS": str(program)}) == str(program)
    assert prometheus_program({"PROMETHEUS": str(tmp_path / "none")}) is None
    exemplar = {"labels": {"trace_id": "ab" * 16}, "value": "2.1", "timestamp": 1.5}
    data = [{"seriesLabels": {"le": "2.5"}, "exemplars": [exemplar]}]
    answer = json.dumps({"status": "success", "data": data})
    assert trace_ids_of(answer.encode()) == {b"\xab" * 16}
