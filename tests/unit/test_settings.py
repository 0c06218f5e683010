"""From a file, `--set` and the environment to one frozen value."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stream.settings.load import load
from stream.settings.model import Settings, Topics, Worker
from stream.settings.policies import LatencyPolicy, StatusCodePolicy
from stream.settings.reference import settings_table
from stream.settings.share_policies import ProbabilisticPolicy
from stream.settings.walk import leaves

DESIGN_SECTION_9 = """
compatibility: fixed
kafka:
  bootstrap.servers: ${env:KAFKA_BOOTSTRAP:-localhost:9092}
  security.protocol: PLAINTEXT
worker:
  group: tailstream
  instance_id: ${env:HOSTNAME:-worker-0}
  static_membership: false
  initial_offset: earliest
  delivery: exactly_once
  commit_interval: 500ms
  position_group: true
topics: {input: otlp_spans, output: otlp_spans_sampled, decisions: tailstream_decisions,
  dead_letters: tailstream_dead_letters, metrics: otlp_metrics, partitioner: fnv1a}
tail_sampling:
  decision_wait: 30s
  decision_wait_after_root_received: 5s
  num_traces: 100000
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 1000}}
    - {name: rest, type: probabilistic, probabilistic: {sampling_percentage: 5}}
decisions: {retention: 10m}
storage: {directory: ./data, memory: 512MiB, disk: 20GiB}
limits: {open_traces_max: 1000000, trace_spans_max: 100000, trace_bytes_max: 50MiB,
  pins_max: 100000}
output: {message_bytes_max: 1000000, compression: lz4, stamp: spans, copy_headers: []}
web: {host: 127.0.0.1, port: 6066}
log: {level: info, format: auto}
"""

COLLECTOR = """
receivers:
  kafka: {brokers: ["${env:NOT_OURS}"], traces: {topics: [otlp_spans]}}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 4000}
  batch:
  tail_sampling/prod:
    decision_wait: 10s
    num_traces: 100
    expected_new_traces_per_sec: 10
    decision_cache: {sampled_cache_size: 100000, non_sampled_cache_size: 100000}
    sampling_strategy: trace-complete
    sample_on_first_match: false
    policies:
      [
        {name: errors, type: status_code, status_code: {status_codes: [ERROR, UNSET]}},
        {name: health, type: drop, drop: {drop_sub_policy: [
          {name: fast, type: latency, latency: {threshold_ms: 0, upper_threshold_ms: 5}}]}},
        {name: share, type: probabilistic,
         probabilistic: {sampling_percentage: 12.5, hash_salt: s}},
        {name: everything, type: always_sample},
      ]
exporters: {otlp: {endpoint: "tempo:4317"}}
service: {pipelines: {traces: {receivers: [kafka], processors: [tail_sampling/prod],
  exporters: [otlp]}}}
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "tailstream.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_designs_example_is_the_defaults_but_for_two_of_the_collectors_options(
    tmp_path: Path,
) -> None:
    settings = load(write(tmp_path, DESIGN_SECTION_9), [], {})
    assert settings.tail_sampling.decision_wait_after_root_received_s == 5.0
    assert settings.tail_sampling.num_traces == 100_000
    collectors = ["decision_wait_after_root_received=5s", "num_traces=100000"]
    overrides = [f"tail_sampling.{option}" for option in collectors]
    assert settings == load(None, overrides, {})


def test_without_a_file_the_defaults_apply_and_the_start_says_which_policies() -> None:
    settings = load(None, [], {})
    assert settings == Settings()
    assert settings.worker.commit_interval_s == 0.5
    assert settings.worker.idle_grace_s == 0.5
    assert settings.worker.session_timeout_s == 10.0
    assert settings.worker.transaction_timeout_s == 30.0
    assert settings.storage.memory_bytes == 512 << 20
    assert settings.storage.directory == Path("data")
    assert settings.limits.trace_bytes_max == 50 << 20
    assert settings.notes() == [
        "tail_sampling.policies: not set, the default policies apply: errors, slow, rest"
    ]


def test_the_default_policies_are_errors_slow_traces_and_five_percent() -> None:
    errors, slow, rest = Settings().tail_sampling.policies
    assert isinstance(errors, StatusCodePolicy)
    assert errors.status_code.status_codes == ("ERROR",)
    assert isinstance(slow, LatencyPolicy)
    assert slow.latency.threshold_ms == 1000
    assert isinstance(rest, ProbabilisticPolicy)
    assert rest.probabilistic.sampling_percentage == 5.0


def test_a_collectors_file_works_as_pasted_and_the_start_says_what_is_not_used(
    tmp_path: Path,
) -> None:
    settings = load(write(tmp_path, COLLECTOR), ["topics.input=spans"], {})
    assert settings.topics.input == "spans"
    assert settings.tail_sampling.decision_wait_s == 10.0
    in_order = settings.tail_sampling.policies_in_order()
    assert [policy.name for policy in in_order] == ["health", "errors", "share", "everything"]
    notes = settings.notes()
    assert [note.partition(":")[0] for note in notes] == [
        "processors.tail_sampling/prod",
        "processors",
        "receivers, exporters, service",
        "tail_sampling.num_traces",
        "tail_sampling.expected_new_traces_per_sec",
        "tail_sampling.decision_cache",
        "tail_sampling.policies[0].status_code.status_codes (errors)",
        "tail_sampling.policies[1].drop.drop_sub_policy[0].latency.threshold_ms (fast)",
        "tail_sampling.policies[1].drop.drop_sub_policy[0].latency.upper_threshold_ms (fast)",
    ]
    assert "not used: memory_limiter, batch: what runs before tail_sampling" in notes[1]


def test_every_option_that_is_not_needed_is_said_once(tmp_path: Path) -> None:
    text = """
tail_sampling:
  num_traces: 1
  block_on_overflow: true
  expected_new_traces_per_sec: 1
  num_shards: 4
  decision_cache: {sampled_cache_size: 1}
  tail_storage: pebble
  drop_pending_traces_on_shutdown: true
  policies: [{name: all, type: always_sample}]
"""
    notes = load(write(tmp_path, text), [], {}).notes()
    assert len(notes) == 7
    assert all("not needed here: " in note for note in notes)


def test_an_option_at_the_collectors_default_is_accepted(tmp_path: Path) -> None:
    text = """
tail_sampling:
  sampling_strategy: trace-complete
  policies: [{name: all, type: always_sample}]
"""
    assert load(write(tmp_path, text), [], {}).notes() == []


def test_our_sections_may_stand_beside_the_collectors(tmp_path: Path) -> None:
    path = write(tmp_path, COLLECTOR + "\nworker: {group: blue}\n")
    assert load(path, [], {}).worker.group == "blue"


def test_a_later_override_wins_over_an_earlier_one_and_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "worker: {group: a, initial_offset: latest}\nkafka: {linger.ms: 1}\n")
    settings = load(path, ["worker.group=b", "worker.group=c", "kafka.batch.size=7"], {})
    assert settings.worker.group == "c"
    assert settings.worker.initial_offset == "latest"
    assert settings.kafka["linger.ms"] == 1
    assert settings.kafka["batch.size"] == 7
    assert settings.kafka["bootstrap.servers"] == "localhost:9092"


def test_an_override_can_replace_the_policies_as_yaml() -> None:
    settings = load(None, ["tail_sampling.policies=[{name: all, type: always_sample}]"], {})
    assert [policy.name for policy in settings.tail_sampling.policies] == ["all"]


def test_a_section_with_nothing_in_it_is_one_of_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, "worker:\nkafka:\ntail_sampling:\n"), [], {}) == load(None, [], {})


def test_yaml_is_read_with_the_core_types_only(tmp_path: Path) -> None:
    text = "worker: {group: off, instance_id: 0123}\nkafka: {client.id: 2026-01-01}\n"
    settings = load(write(tmp_path, text), ["web.host=10:20"], {})
    assert settings.worker.group == "off"
    assert settings.worker.instance_id == "0123"
    assert settings.kafka["client.id"] == "2026-01-01"
    assert settings.web.host == "10:20"


def test_yaml_anchors_and_merges_work(tmp_path: Path) -> None:
    text = """
tail_sampling:
  policies:
    - &slow {name: slow, type: latency, latency: {threshold_ms: 5}}
    - {<<: *slow, name: slower}
"""
    policies = load(write(tmp_path, text), [], {}).tail_sampling.policies
    assert [policy.name for policy in policies] == ["slow", "slower"]


def test_settings_are_frozen_to_the_bottom() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.worker.group = "other"  # type: ignore[misc]  # the test: it is frozen
    with pytest.raises(TypeError):
        settings.kafka["client.id"] = "x"  # type: ignore[index]  # the test: it is read-only


def test_settings_can_be_made_in_python_in_pythons_names_and_units() -> None:
    settings = Settings(worker=Worker(commit_interval_s=0.1), topics=Topics(input="in"))
    assert settings.worker.commit_interval_s == 0.1
    assert settings == load(None, ["worker.commit_interval=100ms", "topics.input=in"], {})


def test_no_secret_is_shown(tmp_path: Path) -> None:
    text = """
kafka:
  security.protocol: SASL_SSL
  sasl.mechanism: PLAIN
  sasl.username: u5er
  sasl.password: hunter2
  ssl.key.password: hunter2
  ssl.key.pem: hunter2
  sasl.oauthbearer.client.secret: hunter2
"""
    settings = load(write(tmp_path, text), [], {})
    assert settings.kafka["sasl.password"] == "hunter2"
    shown = str(settings.public())
    assert "hunter2" not in shown
    assert "u5er" not in shown
    assert shown.count("****") == 5
    assert "'sasl.mechanism': 'PLAIN'" in shown
    assert "hunter2" not in repr(settings)


def test_the_public_form_is_yaml_that_loads_to_the_same_settings(tmp_path: Path) -> None:
    original = load(write(tmp_path, DESIGN_SECTION_9), ["worker.commit_interval=20ms"], {})
    again = load(write(tmp_path, yaml.safe_dump(original.public())), [], {})
    assert again == original
    assert again.notes() == original.notes()


@given(st.integers(1, 10**6), st.floats(0, 100), st.text(max_size=20))
def test_policies_survive_being_made_public(wait_ms: int, percentage: float, salt: str) -> None:
    policy = {
        "name": "p",
        "type": "probabilistic",
        "probabilistic": {"sampling_percentage": percentage, "hash_salt": salt},
    }
    written = {"decision_wait": f"{wait_ms + 1}ms", "policies": [policy]}
    original = Settings.model_validate({"tail_sampling": written, "decisions": {"retention": "1h"}})
    assert Settings.model_validate(original.public()) == original


def test_the_hash_changes_with_policies_and_waits_and_with_nothing_else() -> None:
    base = load(None, [], {}).policies_hash()
    assert base == "53221c6f"  # decision records name it: it must not change by accident
    assert load(None, ["worker.group=other", "tail_sampling.num_traces=5"], {}).policies_hash() == (
        base
    )
    assert load(None, ["tail_sampling.sample_on_first_match=true"], {}).policies_hash() == base
    for changed in (
        "tail_sampling.decision_wait=31s",
        "tail_sampling.decision_wait_after_root_received=1s",
        "tail_sampling.policies=[{name: all, type: always_sample}]",
        "tail_sampling.maximum_trace_size_bytes=5",
    ):
        assert load(None, [changed], {}).policies_hash() != base


def test_a_policy_says_in_words_why_it_keeps_a_trace() -> None:
    policies = """[
      {name: a, type: always_sample},
      {name: b, type: status_code, status_code: {status_codes: [ERROR, UNSET]}},
      {name: c, type: latency, latency: {threshold_ms: 5, upper_threshold_ms: 9}},
      {name: d, type: probabilistic, probabilistic: {sampling_percentage: 0.25}},
      {name: e, type: drop, drop: {drop_sub_policy: [
        {type: always_sample}, {type: latency, latency: {threshold_ms: 5}}]}},
      {name: f, type: string_attribute, string_attribute: {key: k, values: [a b, '']}},
      {name: g, type: string_attribute, string_attribute: {
        key: k, values: ["^a"], enabled_regex_matching: true, invert_match: true}},
      {name: h, type: numeric_attribute, numeric_attribute: {key: k, min_value: 0}},
      {name: i, type: numeric_attribute, numeric_attribute: {key: k, max_value: 0}},
      {name: j, type: numeric_attribute, numeric_attribute: {
        key: k, min_value: -1, max_value: 1, invert_match: true}},
      {name: k, type: boolean_attribute, boolean_attribute: {key: k, value: true}},
      {name: l, type: span_count, span_count: {min_spans: 3}},
      {name: m, type: span_count, span_count: {min_spans: 3, max_spans: 9}},
      {name: n, type: and, and: {and_sub_policy: [
        {type: span_count, span_count: {min_spans: 3}},
        {type: not, not: {not_sub_policy: {type: always_sample}}}]}}]"""
    settings = load(None, [f"tail_sampling.policies={policies}"], {})
    assert [policy.meaning() for policy in settings.tail_sampling.policies] == [
        "every trace",
        "a span has status ERROR or UNSET",
        "trace took more than 5 ms, at most 9 ms",
        "0.25 % of traces, by trace id",
        "dropped: every trace and trace took more than 5 ms",
        "k is a b or ''",
        "not (k matches ^a)",
        "k is at least 0",
        "k is at most 0",
        "not (k is at least -1 and at most 1)",
        "k is true",
        "trace has at least 3 spans",
        "trace has at least 3 spans, at most 9",
        "trace has at least 3 spans and not (every trace)",
    ]


def test_the_size_of_the_collectors_regex_cache_is_not_needed_and_the_start_says_so() -> None:
    text = "{key: k, values: [a], cache_max_size: 50}"
    policies = f"""[
      {{name: a, type: string_attribute, string_attribute: {text}}},
      {{name: b, type: drop, drop: {{drop_sub_policy: [
        {{type: always_sample}}, {{type: string_attribute, string_attribute: {text}}}]}}}}]"""
    *notes, _ = load(None, [f"tail_sampling.policies={policies}"], {}).notes()
    assert notes == [
        f"tail_sampling.policies{path}.string_attribute.cache_max_size: not needed here: "
        "the results for 1,024 values are remembered"
        for path in ("[0]", "[1].drop.drop_sub_policy[1]")
    ]


def test_every_setting_has_a_meaning_and_a_row_in_the_table() -> None:
    table = settings_table()
    for leaf in leaves():
        assert leaf.field.description, leaf.path
        if leaf.path != "kafka":
            assert f"| `{leaf.path}` |" in table
    assert "| `worker.commit_interval` | `500ms` | duration |" in table
    assert "| `storage.memory` | `512MiB` | size |" in table
    assert "| `tail_sampling.policies[].latency.threshold_ms` | `0` | whole number |" in table
    assert all(line.count(" | ") >= 3 for line in table.splitlines())
